import { beforeEach, describe, expect, it, vi } from 'vitest';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { encodeLog, endJob } from '../../../test/fixtures/far-answers.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';
import { FAR_NOW } from '../../../test/fixtures/far-end.ts';

const its = useCliWorld();
const words = ['run', 'web-04', 'command.run', '--yes', '--', 'make'];

let job: FarJob;

/** A job that runs until the test ends it. */
beforeEach(() => {
  its.farEnd.addGrant();
  its.farEnd.onOrder = (ordered) => {
    job = ordered;
    Object.assign(ordered.body, { state: 'running' });
    ordered.log = encodeLog([['out', 'begun\n']]);
  };
});

async function until(condition: () => boolean): Promise<void> {
  await vi.waitFor(() => expect(condition()).toBe(true), { timeout: 30_000, interval: 10 });
}

const looked = () =>
  its.farEnd.requests.filter(({ path }) => path === `/api/v1/jobs/${job.body.id}`).length;

describe('following a job', () => {
  it('says that the control plane is away, and that it is back, and loses nothing', async () => {
    let seen = '';
    const done = its.cli.run(words, {
      interruptWhen: (text) => {
        seen = text;
        return false;
      },
    });
    await until(() => seen.includes('begun'));
    await its.farEnd.stop();
    await new Promise((wait) => setTimeout(wait, 200));
    endJob(job, [
      ['out', 'begun\n'],
      ['out', 'ended\n'],
    ]);
    await its.farEnd.start();
    const { status, stdout, stderr } = await done;
    expect([status, stdout]).toEqual([0, 'begun\nended\n']);
    expect(stderr).toContain('No answer from the control plane since 03:11:00.');
    expect(stderr).toContain('Ctrl-C leaves the job running');
    expect(stderr).toContain('Back 03:11:00');
  });

  it('says that the server is silent, and that it is back', async () => {
    let now = FAR_NOW;
    let seen = '';
    const done = its.cli.run(words, {
      now: () => now,
      onTalk: (text) => (seen = text),
    });
    await until(() => looked() > 0);
    Object.assign(its.farEnd.agent ?? {}, {
      state: 'unreachable',
      lastSeenAt: '2026-11-25T03:10:07.000Z',
    });
    now += 20_000;
    await until(() => seen.includes('No word from'));
    Object.assign(its.farEnd.agent ?? {}, { state: 'connected' });
    await until(() => seen.includes('is back'));
    endJob(job, [['out', 'begun\n']]);
    const { status, stderr } = await done;
    expect(status).toBe(0);
    expect(stderr.match(/No word from web-04 since 03:10:07\./g)).toHaveLength(1);
    expect(stderr).toContain('The job goes on by itself there');
    expect(stderr).toContain('web-04 is back');
  });

  it('tells progress in a pipe by phase and tenth, once each', async () => {
    const done = its.cli.run(words);
    for (const progress of [
      { phase: 'check', percent: 3, text: '' },
      { phase: 'check', percent: 9, text: '' },
      { phase: 'repair', percent: null, text: '' },
    ]) {
      await until(() => job !== undefined);
      Object.assign(job.body, { progress });
      const before = looked();
      await until(() => looked() > before + 1);
    }
    endJob(job, [['out', 'begun\n']]);
    expect((await done).stderr.match(/^(?:check|repair).*$/gm)).toEqual(['check 0 %', 'repair']);
  });

  it('gives up an order that nobody takes, with 5', async () => {
    its.farEnd.onOrder = (ordered) => {
      job = ordered;
      setTimeout(() => Object.assign(ordered.body, { state: 'expired' }), 100);
    };
    const { status, stderr } = await its.cli.run(words);
    expect(status).toBe(5);
    expect(stderr).toContain('Nothing was started, and nothing will be.');
  });

  it('shows on a terminal where it stands, and wipes that before the next line', async () => {
    Object.assign(its.farEnd.agent ?? {}, { state: 'connected' });
    its.farEnd.onOrder = (ordered) => {
      job = ordered;
      Object.assign(ordered.body, {
        state: 'running',
        progress: { phase: 'check inodes', percent: 62, text: '' },
      });
      ordered.log = encodeLog([['out', 'one\nunfinished']]);
    };
    const done = its.cli.run(words, { columns: 80 });
    await until(() => looked() > 0);
    await new Promise((wait) => setTimeout(wait, 250));
    endJob(job, [
      ['out', 'one\nunfinished'],
      ['out', ' line\n'],
    ]);
    const { stdout, stderr } = await done;
    expect(stdout).toBe('one\nunfinished line\n');
    const shown = stderr.replaceAll('\u001b', '␛');
    expect(shown).toMatch(/check inodes {2}█+▌?·+ {2}62 % {2}00:00 {2}unfinished␛\[K/);
    expect(shown.slice(0, shown.lastIndexOf('Succeeded'))).toMatch(/\r␛\[K[^\r]*$/);
  });
});
