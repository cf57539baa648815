import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { run } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';
import { makeDamagedExt4 } from '../fixtures/damaged-ext4.ts';

const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

describe('a damaged ext4 file system', () => {
  let stack: Stack;
  let image: string;
  let damaged: string;

  beforeAll(async () => {
    stack = await Stack.start();
    image = path.join(stack.folder, 'disk.img');
    await makeDamagedExt4(image);
    damaged = digest(image);
    await stack.authorize('filesystem.*');
  });
  afterAll(() => stack?.close());

  const cli = (...args: string[]) => stack.cli('lead', ...args);
  const device = () => ['--param', `device=${image}`];

  it('is found damaged by the check, which changes no byte', async () => {
    const done = await cli('run', 'web-04', 'filesystem.check', ...device());
    expect(done.stderr).toMatch(/errors left/i);
    expect(digest(image)).toBe(damaged);
  });

  it('is planned without changing a byte, with the same plan each time', async () => {
    const first = await stack.json<{ planDigest: string }>(
      'lead',
      'plan',
      'web-04',
      'filesystem.repair',
      ...device(),
    );
    const second = await stack.json<{ planDigest: string }>(
      'lead',
      'plan',
      'web-04',
      'filesystem.repair',
      ...device(),
    );
    expect(second.planDigest).toBe(first.planDigest);
    expect(digest(image)).toBe(damaged);
  });

  it('is repaired by the plan; e2fsck finds it clean; undo gives the same bytes back', async () => {
    const plan = await stack.json<{ planDigest: string }>(
      'lead',
      'plan',
      'web-04',
      'filesystem.repair',
      ...device(),
    );
    const repaired = await cli(
      'run',
      'web-04',
      'filesystem.repair',
      '--plan',
      plan.planDigest,
      '--yes',
    );
    expect(repaired.status, repaired.stderr + repaired.stdout).toBe(0);
    expect(repaired.stderr).toMatch(/corrected/i);
    expect((await run(['e2fsck', '-fn', image])).status).toBe(0);
    const { items } = await stack.request<{
      items: { id: string; mode: string; action: string }[];
    }>('lead', 'GET', '/api/v1/jobs');
    const job = items.find(
      (entry) => entry.mode === 'apply' && entry.action === 'filesystem.repair',
    )!;
    const undone = await cli('jobs', 'undo', job.id, '--yes');
    expect(undone.status, undone.stderr + undone.stdout).toBe(0);
    expect(digest(image)).toBe(damaged);
  });

  it('refuses a plan whose file system has changed since', async () => {
    const plan = await stack.json<{ planDigest: string }>(
      'lead',
      'plan',
      'web-04',
      'filesystem.repair',
      ...device(),
    );
    await run(['debugfs', '-w', '-R', 'clri <13>', image]);
    const changed = digest(image);
    const done = await cli(
      'run',
      'web-04',
      'filesystem.repair',
      '--plan',
      plan.planDigest,
      '--yes',
    );
    expect(done.status).toBe(1);
    expect(done.stderr).toMatch(/stale|changed/i);
    expect(digest(image)).toBe(changed);
  });
});
