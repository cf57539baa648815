import { execFileSync } from 'node:child_process';
import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, expect } from 'vitest';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import { AccessDisk } from './access-disk.ts';
import { copyPrograms } from './copy-programs.ts';

export const ACTION = 'access.repair-accounts';
const STACK = 'auth [success=1 default=ignore] pam_unix.so\nauth requisite pam_deny.so\n';

const files = {
  '/etc/gshadow': 'root:*::\ndaemon:*::\nshadow:*::\nann:!::\n',
  '/etc/sudoers': 'Defaults env_reset\nroot ALL=(ALL:ALL) ALL\n@includedir /etc/sudoers.d\n',
  '/etc/sudoers.d/README': '# Files here count, too.\n',
  '/etc/pam.d/common-auth': STACK,
  '/etc/pam.d/common-account': 'account required pam_unix.so\n',
  '/etc/pam.d/common-password': 'password required pam_unix.so\n',
  '/etc/pam.d/common-session': 'session required pam_unix.so\n',
  '/etc/pam.d/su': 'auth sufficient pam_rootok.so\n@include common-auth\n',
  '/etc/pam.d/sudo': '@include common-auth\n',
  '/usr/lib/x86_64-linux-gnu/security/pam_unix.so': '',
  '/usr/lib/x86_64-linux-gnu/security/pam_deny.so': '',
  '/usr/lib/x86_64-linux-gnu/security/pam_permit.so': '',
  '/usr/lib/x86_64-linux-gnu/security/pam_rootok.so': '',
  '/usr/lib/x86_64-linux-gnu/security/pam_nologin.so': '',
  '/bin/su': '#!\n',
} as const;

/** Of each test its own, with accounts, sudo and PAM that are well. */
export let disk: AccessDisk;

async function wellDisk(): Promise<AccessDisk> {
  const well = await AccessDisk.create(files);
  await well.change((root) => {
    copyPrograms(root, ['/usr/sbin/visudo', '/usr/bin/sudo']);
    execFileSync(
      'sh',
      [
        '-ec',
        `chmod 4755 usr/bin/sudo; chmod 440 etc/sudoers etc/sudoers.d/*; chmod 750 etc/sudoers.d
        chmod 640 etc/gshadow; chgrp 42 etc/gshadow
        for name in passwd shadow group gshadow; do cp -p etc/$name etc/$name-; done`,
      ],
      { cwd: root },
    );
    chmodSync(join(root, 'bin/su'), 0o4755);
  });
  return well;
}

/** Gives every test of a file such a disk. */
export function useAccountsDisk(): void {
  let well: AccessDisk;
  beforeAll(async () => {
    well = await wellDisk();
  });
  afterAll(() => well.close());
  beforeEach(async () => {
    disk = await AccessDisk.copy(well.image);
  });
  afterEach(() => disk.close());
}

type Parameters = Record<string, JsonValue>;

export interface Fault {
  script: string;
  parameters?: Parameters;
  steps: string[];
  /** Run on the repaired disk; what it prints must match. */
  look: string;
  expected: string | RegExp;
}

/** The steps of its plan. */
export async function stepsOf(parameters: Parameters = {}): Promise<string[]> {
  return (await disk.plan(ACTION, parameters)).plan.steps.map(({ id }) => id);
}

/** Breaks the disk, repairs it, finds nothing left to do, and takes the repair back to the last byte. */
export async function expectRepairedAndUndone(fault: Fault): Promise<void> {
  const { script, parameters = {}, steps, look, expected } = fault;
  await disk.sh(script);
  const before = await disk.look();
  const { plan, bytes } = await disk.plan(ACTION, parameters);
  expect(plan.steps.map(({ id }) => id)).toEqual([...steps, 'verify']);
  expect(JSON.stringify(plan)).not.toContain('oldsalt');
  const done = await disk.apply(ACTION, bytes, parameters);
  expect(done, done.said).toMatchObject({ outcome: 'succeeded', result: { outcome: 'repaired' } });
  expect(done.said).not.toContain('oldsalt');
  expect(await disk.sh(look)).toMatch(expected);
  expect(await stepsOf(parameters)).toEqual([]);
  expect(await disk.undo(ACTION, done.job, parameters)).toMatchObject({ outcome: 'succeeded' });
  expect(await disk.look()).toBe(before);
}
