import { execFileSync } from 'node:child_process';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import { AccessDisk } from './access-disk.ts';
import { sshdDisk } from './sshd-disk.ts';

export const ACTION = 'access.restore-ssh';

export type Parameters = Record<string, JsonValue>;

/** Of each test its own, with an sshd that lets root in. */
export let disk: AccessDisk;

/** Gives every test of a file such a disk. */
export function useSshdDisk(): void {
  let well: AccessDisk;
  beforeAll(async () => {
    well = await sshdDisk();
  });
  afterAll(() => well.close());
  beforeEach(async () => {
    disk = await AccessDisk.copy(well.image);
  });
  afterEach(() => disk.close());
}

/** A public key of which nobody has the private one. */
export function newPublicKey(): string {
  const script =
    'd=$(mktemp -d); ssh-keygen -q -t ed25519 -N "" -C me -f $d/k; cat $d/k.pub; rm -r $d';
  return execFileSync('sh', ['-c', script], { encoding: 'utf8' }).trim();
}

/** The steps of its plan that change files. */
export async function stepsOf(parameters: Parameters = {}): Promise<string[]> {
  const { plan } = await disk.plan(ACTION, parameters);
  return plan.steps.map(({ id }) => id).filter((id) => id !== 'check');
}

export interface Repaired {
  script: string;
  parameters?: Parameters;
  steps: string[];
  /** Run on the repaired disk; what it prints must match. */
  look: string;
  expected: string | RegExp;
}

/** Breaks the disk, repairs it, finds nothing left to do, and takes the repair back to the last byte. */
export async function expectRepairedAndUndone(fault: Repaired): Promise<void> {
  const { script, parameters = {}, steps, look, expected } = fault;
  await disk.sh(script);
  const before = await disk.look();
  const { plan, bytes } = await disk.plan(ACTION, parameters);
  expect(plan.steps.map(({ id }) => id)).toEqual([...steps, 'check']);
  const done = await disk.apply(ACTION, bytes, parameters);
  expect(done, done.said).toMatchObject({ outcome: 'succeeded', result: { outcome: 'repaired' } });
  expect(await disk.sh(look)).toMatch(expected);
  expect(await stepsOf(parameters)).toEqual([]);
  expect(await disk.undo(ACTION, done.job, parameters)).toMatchObject({ outcome: 'succeeded' });
  expect(await disk.look()).toBe(before);
}
