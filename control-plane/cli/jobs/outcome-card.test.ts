import { PassThrough } from 'node:stream';
import { expect, it } from 'vitest';
import { jobBody } from '../../../test/fixtures/far-bodies.ts';
import { curlUnfinished } from '../../../test/fixtures/package-papers.ts';
import { failedRestart } from '../../../test/fixtures/service-results.ts';
import { createTrustWorld } from '../../../test/fixtures/trust-world.ts';
import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { Terminal } from '../output/terminal.ts';
import { reportOutcome } from './outcome-card.ts';

/** What a person is told of the end of a job of this action, in one line. */
async function told(action: string, change: Partial<JobBody>): Promise<string> {
  const world = await createTrustWorld();
  const { payload } = world.signOrder({ action });
  const body = jobBody(world, payload, { name: '1042/3', digest: '' }) as unknown as JobBody;
  const job = { ...body, log: { ...body.log, verified: null }, ...change };
  const stderr = new PassThrough();
  const surroundings = { stdout: new PassThrough(), stderr, color: false };
  const terminal = new Terminal(surroundings, { json: false, color: false });
  const context = { terminal, surroundings: { now: Date.now, timeZone: 'UTC' } };
  const ordered = { ticket: 'T-1', words: [] };
  const followed = { job, missingBytes: 0, surplusBytes: 0, digest: null };
  await reportOutcome(context as unknown as CommandContext, followed as never, ordered);
  return String(stderr.read()).replace(/\s+/g, ' ');
}

it.each([
  ['packages.install', curlUnfinished.result],
  ['service.restart', failedRestart],
  ['filesystem.repair', { outcome: 'errors_left', detail: 'inode 12 is still wrong' }],
])(
  'why %s failed is said once, and with what it did where it did not fail',
  async (action, result) => {
    const { detail } = result;
    const failed = await told(action, { state: 'failed', reason: 'verify_failed', result });
    expect(failed.split(detail)).toHaveLength(2);
    expect(failed).toContain(`failed. ${detail}`);
    const cancelled = await told(action, { state: 'cancelled', result });
    expect(cancelled.split(detail)).toHaveLength(2);
  },
);

it('sends to the log only where it holds more than the cause that was said', async () => {
  const change = { state: 'failed', mode: 'plan', reason: 'device_busy', detail: 'sdb is in use' };
  const busy = await told('boot.repair-fstab', change as Partial<JobBody>);
  expect(busy).toContain('sdb is in use.');
  expect(busy).not.toContain('intervene logs');
  const silent = await told('boot.repair-fstab', { ...change, detail: '' } as Partial<JobBody>);
  expect(silent).toContain('intervene logs');
  const log = { committedBytes: 9, lines: 3, bytes: 9, digest: null, verified: null };
  const spoke = await told('boot.repair-fstab', { ...change, log } as Partial<JobBody>);
  expect(spoke).toContain('intervene logs');
});
