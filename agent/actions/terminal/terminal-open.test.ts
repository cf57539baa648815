import { readFileSync } from 'node:fs';
import { cp, mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ended, JobsFixture, output } from '../../jobs/jobs-fixture.ts';
import type { Job } from '../../jobs/job.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import { terminalOpenResult } from '../../../proto/actions/terminal.ts';
import { linkWindow } from '../../../proto/terminal/frame-link.ts';
import { splitSessionKeys } from '../../../proto/terminal/session-keys.ts';
import { Engineer } from './testing/engineer.ts';

const isRoot = process.getuid?.() === 0;
const repository = path.join(import.meta.dirname, '../../..');
const secrets = Buffer.alloc(64, 3);
const keys = splitSessionKeys(secrets);

let fixture: JobsFixture;
beforeEach(async () => {
  fixture = await JobsFixture.create();
});
afterEach(() => fixture.close());

async function open(
  parameters: Record<string, string | number> = {},
  change: Partial<JobSpec> = {},
): Promise<{ job: Job; engineer: Engineer }> {
  const spec = fixture.spec({
    action: 'terminal.open',
    parameters: { sessionKey: `${'A'.repeat(43)}`, user: 'root', ...parameters },
    ...change,
  });
  const job = await fixture.agent().start(spec, {}, secrets);
  return { job, engineer: new Engineer(job.directory, keys, job.id) };
}

async function attached(
  parameters: Record<string, string | number> = {},
  change: Partial<JobSpec> = {},
): Promise<{ job: Job; engineer: Engineer }> {
  const session = await open(parameters, change);
  await session.engineer.attach();
  session.engineer.type("bind 'set enable-bracketed-paste off'; PS1='ready> '\r");
  await session.engineer.untilShown(/(?<!')ready> /);
  return session;
}

type Event = [number, 'o' | 'i' | 'r', string];

async function recordingOf(
  job: Job,
): Promise<{ header: Record<string, unknown>; events: Event[] }> {
  const lines = (await output(job)).toString().trimEnd().split('\n');
  const [header, ...events] = lines.map((line) => JSON.parse(line) as unknown);
  return { header: header as Record<string, unknown>, events: events as Event[] };
}

const typedIn = (events: Event[], code: Event[1]) =>
  events
    .filter((event) => event[1] === code)
    .map((event) => event[2])
    .join('');

describe.skipIf(!isRoot)('a terminal', () => {
  it('is a shell on a pty of its own that ends with its status', async () => {
    const { job, engineer } = await attached();
    engineer.type('test -t 0 && echo is"-"tty; stty size; exit 7\r');
    await engineer.untilShown('is-tty');
    await engineer.untilShown('24 80');
    const end = await ended(job);
    expect(engineer.ended).toEqual({ type: 'ended', exitStatus: 7, reason: 'shell_ended' });
    expect(end).toMatchObject({ outcome: 'succeeded', reason: null, exitStatus: 7 });
    expect(terminalOpenResult.parse(end.result)).toMatchObject({
      end: 'shell_ended',
      attachments: 1,
      inputRecorded: false,
    });
  });

  it('takes the size of the screen, and its changes', async () => {
    const { job, engineer } = await attached();
    engineer.link.send({ type: 'resize', size: { rows: 33, columns: 101 } });
    engineer.type('stty size\r');
    await engineer.untilShown('33 101');
    engineer.type('exit\r');
    await ended(job);
    const { events } = await recordingOf(job);
    expect(events.find((event) => event[1] === 'r')?.[2]).toBe('101x33');
  });

  it('is recorded as asciicast without what was typed in secret', async () => {
    const { job, engineer } = await attached({ term: 'vt100' });
    engineer.type('read -s -p "Password: " secret; echo; echo ${#secret}\r');
    await engineer.untilShown('\nPassword: ');
    engineer.type('hunter2-long\r');
    await engineer.untilShown('12\r\n');
    engineer.type("printf 'gr\\303\\266n \\033[31mred\\033[0m\\n'; exit\r");
    await ended(job);
    const { header, events } = await recordingOf(job);
    expect(header).toMatchObject({ version: 2, width: 80, height: 24, env: { TERM: 'vt100' } });
    expect(typedIn(events, 'o')).toContain('grön \u001b[31mred');
    expect(typedIn(events, 'o')).toBe(engineer.shown);
    expect(typedIn(events, 'i')).toBe('');
    expect(JSON.stringify(events)).not.toContain('hunter2');
    const times = events.map((event) => event[0]);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  it('is recorded with what was typed where the policy says so', async () => {
    const { job, engineer } = await attached({}, { recordInput: true });
    engineer.type('exit\r');
    const end = await ended(job);
    expect(end.result).toMatchObject({ inputRecorded: true });
    const { events } = await recordingOf(job);
    expect(typedIn(events, 'i')).toMatch(/PS1='ready> '\rexit\r$/);
  });

  it('goes on without its engineer, who gets what they missed', async () => {
    const { job, engineer } = await attached();
    engineer.type('for i in 1 2 3 4 5 6; do echo tick-$i; sleep 0.2; done; echo all-"over"\r');
    await engineer.untilShown('tick-1');
    engineer.cut();
    await sleep(1_500);
    await engineer.attach({ rows: 40, columns: 90 });
    await engineer.untilShown('all-over');
    for (let tick = 1; tick <= 6; tick++) {
      expect(engineer.shown.split(`tick-${tick}\r\n`)).toHaveLength(2);
    }
    engineer.type('stty size; exit\r');
    await engineer.untilShown('40 90');
    expect((await ended(job)).result).toMatchObject({ attachments: 2 });
  });

  it('lets the shell wait for a reader that does not read, and loses nothing', async () => {
    const { job, engineer } = await attached();
    engineer.pause();
    engineer.type(
      'yes 0123456789012345678901234567890123456789 | head -c 8000000; echo fin"ished"\r',
    );
    await sleep(2_000);
    const pid = fixture.runnerPid(job.id);
    const rss = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]);
    expect(rss).toBeLessThan(200_000);
    const recorded = (await output(job)).length;
    expect(recorded).toBeLessThan(linkWindow.agent * 3);
    engineer.resume();
    await engineer.untilShown('finished');
    // 41 bytes a line, and the pty adds a carriage return to each.
    expect(engineer.shownBytes).toBeGreaterThan(8_000_000 + 8_000_000 / 41 - 2);
    engineer.type('exit\r');
    await ended(job);
  });

  it('ends when nobody does anything', async () => {
    const { job, engineer } = await attached({ idleSeconds: 10 });
    const before = performance.now();
    const end = await ended(job);
    expect(performance.now() - before).toBeGreaterThan(9_000);
    expect(end).toMatchObject({ outcome: 'succeeded', reason: 'terminal_idle' });
    expect(engineer.ended?.reason).toBe('idle');
  }, 60_000);

  it('ends when its engineer leaves, and takes with it what they started', async () => {
    const { job, engineer } = await attached();
    engineer.type('sleep 1000 & sleep 2000\r');
    await engineer.untilShown('sleep 2000');
    engineer.link.send({ type: 'close' });
    const end = await ended(job);
    expect(end).toMatchObject({ outcome: 'succeeded', result: { end: 'closed' } });
    expect(engineer.ended?.reason).toBe('closed');
  });

  it('ends within 5 s when it is stopped, whatever runs in it', async () => {
    const { job, engineer } = await attached();
    engineer.type("trap '' HUP TERM; while :; do sleep 1; done\r");
    await engineer.untilShown('done');
    const before = performance.now();
    await job.cancel('now', 'requested');
    expect(await ended(job)).toMatchObject({ outcome: 'cancelled', reason: 'requested' });
    expect(performance.now() - before).toBeLessThan(5_500);
  });

  it('ends at its time limit', async () => {
    const { job } = await attached({}, { maxRuntimeSeconds: 3 });
    expect(await ended(job)).toMatchObject({ outcome: 'timed_out', reason: 'time_limit' });
  });

  it('outlives its agent', async () => {
    const { engineer, job } = await attached();
    engineer.cut();
    const next = fixture.agent();
    await next.load();
    await engineer.attach();
    engineer.type('echo still-"here"; exit\r');
    await engineer.untilShown('still-here');
    expect(await ended(next.get(job.id)!)).toMatchObject({ outcome: 'succeeded' });
  });

  it('is of the user that the order names, with their groups alone', async () => {
    const { job, engineer } = await open({ user: 'nobody' });
    await engineer.attach();
    // Its shell says so and ends: nobody may not log in.
    await engineer.until('ended', () => engineer.ended !== null);
    expect(engineer.shown).toMatch(/not available/);
    expect((await ended(job)).exitStatus).not.toBe(0);
  });

  it('needs nothing but the folder of the bundled agent', async () => {
    const folder = await realpath(await mkdtemp(path.join(tmpdir(), 'ivb-')));
    await cp(path.join(repository, 'dist/agent'), folder, {
      recursive: true,
      filter: (file) => !/\.(?:gz|xz|deb)$/.test(file),
    });
    const spec = fixture.spec({
      action: 'terminal.open',
      parameters: { sessionKey: 'A'.repeat(43) },
    });
    const bundled = fixture.agent({
      programDirectory: folder,
      runnerEntry: path.join(folder, 'runner.mjs'),
    });
    const job = await bundled.start(spec, {}, secrets);
    const engineer = new Engineer(job.directory, keys, job.id);
    await engineer.attach();
    engineer.type('echo bun"dled"; exit\r');
    await engineer.untilShown('bundled');
    expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
    await rm(folder, { recursive: true });
  });

  it('is refused for a user there is not, before anything starts', async () => {
    const { job } = await open({ user: 'nobody-of-that-name' });
    expect(await ended(job)).toMatchObject({ outcome: 'failed', reason: 'user_unknown' });
  });

  it('is not opened without keys', async () => {
    const spec = fixture.spec({
      action: 'terminal.open',
      parameters: { sessionKey: 'A'.repeat(43) },
    });
    const job = await fixture.agent().start(spec, {});
    expect(await ended(job)).toMatchObject({ outcome: 'failed', reason: 'session_key_missing' });
  });
});

describe.skipIf(!isRoot)('somebody between engineer and terminal', () => {
  const marker = 'typed-by-somebody-else';

  it.each([
    ['makes a frame up', (last: Buffer) => Buffer.concat([Buffer.of(2), last.subarray(1).fill(9)])],
    ['changes a frame', (last: Buffer) => Buffer.from(last).fill(0, 20, 21)],
    ['plays a frame again', (last: Buffer) => last],
  ])('who %s ends the session and types nothing', async (_what, forge) => {
    const { job, engineer } = await attached();
    engineer.type(`echo ${marker}\r`);
    await engineer.untilShown(`\n${marker}\r`);
    const last = engineer.sent.findLast((frame) => frame.length > 40)!;
    engineer.sendRaw(forge(Buffer.from(last)));
    const end = await ended(job);
    expect(end).toMatchObject({ outcome: 'failed', reason: 'terminal_tampered' });
    expect(engineer.shown.split(`\n${marker}\r`)).toHaveLength(2);
    expect((await output(job, 'note')).toString()).toMatch(/not the engineer's \(frame_/);
  });

  it('who attaches without the key ends it before a shell is there', async () => {
    const { job, engineer } = await open();
    const other = new Engineer(job.directory, splitSessionKeys(Buffer.alloc(64, 4)), job.id);
    await other.attach(undefined, 1_000).catch(() => undefined);
    const end = await ended(job);
    expect(end).toMatchObject({ reason: 'terminal_tampered', result: { outputBytes: 0 } });
    expect(other.shown + engineer.shown).toBe('');
  }, 40_000);
});
