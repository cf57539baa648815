import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { encodeLog, endJob } from '../../../test/fixtures/far-answers.ts';
import type { Written } from '../../../test/fixtures/far-answers.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';

const its = useCliWorld();
const WRITTEN: Written = [
  ['out', 'one\ntwo\n'],
  ['err', 'three\n'],
  ['note', 'said by the runner\n'],
  ['gap', '{"missingBytes":88000,"missingLines":1203}'],
  ['out', '\u001b[32mfour\u001b[0m\n'],
];

let job: FarJob;

beforeEach(async () => {
  its.farEnd.addGrant();
  its.farEnd.onOrder = (ordered) => {
    job = ordered;
    endJob(ordered, WRITTEN);
  };
  await its.cli.run(['run', 'web-04', 'command.run', '--yes', '--detach', '--', 'true']);
});

const logs = (...more: string[]) => its.cli.run(['logs', '1042/1', ...more]);

describe('logs', () => {
  it('gives what the program printed on stdout; gaps and notes are said', async () => {
    const done = await logs();
    expect(done).toMatchObject({ status: 0, stdout: 'one\ntwo\nthree\nfour\n' });
    expect(done.stderr).toContain('gap: 1,203 lines (88 kB) not kept');
    expect(done.stderr).toContain('said by the runner');
  });

  it('gives one channel, also the notes, when asked', async () => {
    expect((await logs('--channel', 'err')).stdout).toBe('three\n');
    expect((await logs('--channel', 'note')).stdout).toBe('said by the runner\n');
    expect((await logs('--channel', 'gap')).status).toBe(2);
  });

  it('gives the last lines', async () => {
    expect((await logs('--tail', '2')).stdout).toBe('three\nfour\n');
    expect((await logs('--tail', 'all')).stdout).toBe('one\ntwo\nthree\nfour\n');
    expect(await logs('--tail', 'few')).toMatchObject({ status: 2 });
  });

  it('goes on from an offset', async () => {
    const offset = String(encodeLog(WRITTEN.slice(0, 1)).length);
    expect((await logs('--since-offset', offset)).stdout).toBe('three\nfour\n');
    expect((await logs('--since-offset', offset, '--tail', '1')).status).toBe(2);
  });

  it('keeps colours on a terminal and nowhere else', async () => {
    expect((await its.cli.run(['logs', '1042/1'], { columns: 80 })).stdout).toContain(
      '\u001b[32mfour\u001b[0m\n',
    );
    expect(
      (await its.cli.run(['logs', '1042/1'], { columns: 80, color: false })).stdout,
    ).not.toContain('\u001b');
    expect(
      (await its.cli.run(['logs', '1042/1', '--no-color'], { columns: 80 })).stdout,
    ).not.toContain('\u001b');
  });

  it('gives exact bytes into a pipe, never to a terminal', async () => {
    expect((await logs('--raw')).stdout).toContain('\u001b[32mfour');
    const tty = await its.cli.run(['logs', '1042/1', '--raw'], { columns: 80 });
    expect([tty.status, tty.stdout]).toEqual([2, '']);
  });

  it('follows to the end and exits with how the job ended', async () => {
    Object.assign(job.body, { state: 'failed', exitStatus: 7 });
    const done = await logs('--follow');
    expect(done).toMatchObject({ status: 1, stdout: 'one\ntwo\nthree\nfour\n' });
    expect((await logs()).status).toBe(0);
  });

  it('follows a running job by itself on a terminal, from its last lines, and says so', async () => {
    job.body.state = 'running';
    setTimeout(() => (job.body.state = 'succeeded'), 50);
    const done = await its.cli.run(['logs', '1042/1'], { columns: 80 });
    expect(done.status).toBe(0);
    expect(done.stderr).toContain('Following 1042/1 · Ctrl-C is safe');
  });

  it('of a running job in a pipe are what is there, and say that there is more to come', async () => {
    job.body.state = 'running';
    const done = await logs();
    expect([done.status, done.stdout]).toEqual([0, 'one\ntwo\nthree\nfour\n']);
    expect(done.stderr).toContain('The job goes on.');
  });

  it('as JSON lines end with a result', async () => {
    const lines = (await logs('--json', '--tail', '1')).stdout.trim().split('\n');
    expect(lines.map((line) => (JSON.parse(line) as { type: string }).type)).toEqual([
      'log',
      'gap',
      'log',
      'result',
    ]);
  });

  it('can be saved as the agent encoded them, for the owner alone', async () => {
    const path = join(its.cli.home, 'log');
    expect(await logs('--save', join(path, 'log'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('file_unwritable'),
    });
    const done = await logs('--save', path);
    expect(done.status).toBe(0);
    const hash = createHash('sha256').update(readFileSync(path)).digest('hex');
    expect(done.stderr).toContain(`sha256:${hash}`);
    expect(job.body['log']).toMatchObject({ digest: `sha256:${hash}` });
    expect(statSync(path).mode & 0o777).toBe(0o600);
    Object.assign(job.body, {
      log: { ...(job.body['log'] as object), digest: `sha256:${'0'.repeat(64)}` },
    });
    expect(await logs('--save', `${path}2`)).toMatchObject({
      status: 1,
      stderr: expect.stringContaining('log_differs'),
    });
  });
});
