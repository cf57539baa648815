import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { ScriptedStep } from '../runner/testing/scripted-step.ts';
import { ended, JobsFixture, output } from './jobs-fixture.ts';
import type { Job, Jobs } from './job.ts';
import { OBSERVED_ALL, OBSERVED_FOLDER, type Observation } from './observation.ts';
import { observerSpecs, type ObserverPower, type ObserverSpec } from './observations.ts';
import { forgetObservations, Observer } from './observer.ts';

const BWRAP = '/usr/bin/bwrap';
const EVERY_POWER: readonly (readonly ObserverPower[])[] = [
  [],
  ['network'],
  ['devices', 'CAP_SYS_RAWIO'],
  ['CAP_DAC_READ_SEARCH'],
  ['CAP_SYSLOG'],
  ['network', 'CAP_NET_ADMIN', 'CAP_NET_RAW'],
];

describe('an observation', { timeout: 60_000 }, () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ivo-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function see(argv: string[] | null, powers: readonly ObserverPower[] = []) {
    const spec: ObserverSpec = { name: 'space', argv, powers };
    const observer = new Observer(folder, BWRAP);
    await observer.prepare();
    await observer.observe([spec]);
    expect(existsSync(join(folder, OBSERVED_ALL))).toBe(true);
    return JSON.parse(readFileSync(join(folder, 'space.json'), 'utf8')) as Observation;
  }

  test('says what the program printed, and how it ended', async () => {
    expect(await see(['sh', '-c', 'echo out; echo err >&2; exit 3'])).toEqual({
      exitStatus: 3,
      problem: null,
      out: 'out\n',
      err: 'err\n',
      command: 'sh -c echo out; echo err >&2; exit 3',
    });
  });

  test.each([
    ['not_found', ['no-such-program']],
    ['not_applicable', null],
    ['too_long', ['cat', '/dev/zero']],
    ['timed_out', ['sleep', '60']],
  ])('%s is told apart from an answer', async (problem, argv) => {
    expect(await see(argv)).toMatchObject({ problem, exitStatus: null });
  });

  test.each(EVERY_POWER)('can write nothing with %o %o %o', async (...powers) => {
    const given = powers.filter((power) => power !== undefined);
    for (const path of [
      '/etc/written',
      '/var/written',
      '/root/written',
      '/proc/sys/kernel/hostname',
    ]) {
      const seen = await see(['sh', '-c', `echo x > ${path}`], given);
      expect(seen.exitStatus).not.toBe(0);
      expect(seen.err).toMatch(/Read-only|nonexistent|denied/);
    }
    expect(existsSync('/etc/written')).toBe(false);
  });

  test('has no environment, no network and no sockets of programs unless it names them', async () => {
    const seen = await see([
      'sh',
      '-c',
      'env | cut -d= -f1 | sort; ls -A /run; tail -n +3 /proc/net/dev | wc -l',
    ]);
    expect(seen.out).toBe('LC_ALL\nPATH\nPWD\nSYSTEMD_COLORS\nSYSTEMD_PAGER\n1\n');
  });

  test('ends when it is stopped, and nothing is left of it', async () => {
    const observer = new Observer(folder, BWRAP);
    await observer.prepare();
    const seconds = String(1_000 + Math.floor(Math.random() * 1_000_000));
    const observing = observer.observe([{ name: 'space', argv: ['sleep', seconds], powers: [] }]);
    const isRunning = () => processes().some((words) => words.includes(`sleep\0${seconds}`));
    while (!processes().some((words) => words.startsWith(`/usr/bin/sleep\0${seconds}`))) {
      await sleep(10);
    }
    await observer.stop();
    await observing;
    while (isRunning()) await sleep(10);
    expect(existsSync(folder)).toBe(false);
  });

  test('every one of the list can be made here, or says why not', async () => {
    const observer = new Observer(folder, BWRAP);
    await observer.prepare();
    await observer.observe();
    const specs = await observerSpecs();
    for (const { name } of specs) {
      const seen = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Observation;
      expect([null, 'not_applicable', 'not_found'], `${name}: ${seen.err}`).toContain(seen.problem);
    }
    for (const name of ['space', 'mounts', 'addresses', 'block-devices', 'listening', 'nft']) {
      const seen = JSON.parse(readFileSync(join(folder, `${name}.json`), 'utf8')) as Observation;
      expect(seen, name).toMatchObject({ exitStatus: 0, problem: null });
      expect(seen.out).not.toBe('');
    }
  });
});

test('what was observed for jobs that are gone is forgotten', async () => {
  const state = await mkdtemp(join(tmpdir(), 'ivo-'));
  for (const job of ['gone', 'here']) {
    mkdirSync(join(state, OBSERVED_FOLDER, job), { recursive: true });
  }
  await forgetObservations(state, (job) => job === 'here');
  expect(readdirSync(join(state, OBSERVED_FOLDER))).toEqual(['here']);
  await rm(state, { recursive: true });
});

describe('the runner of a diagnosis', { timeout: 60_000 }, () => {
  let fixture: JobsFixture;
  let jobs: Jobs;
  beforeEach(async () => {
    fixture = await JobsFixture.create({
      runnerEntry: join(import.meta.dirname, '..', 'runner', 'testing', 'scripted-runner.ts'),
    });
    jobs = fixture.agent();
    await jobs.load();
  });
  afterEach(() => fixture.close());

  async function inside(script: string): Promise<{ job: Job; text: string }> {
    const steps: ScriptedStep[] = [
      { id: 'only', interrupt: 'now', run: `(${script}) 2>&1 && echo YES || echo NO` },
    ];
    const parameters = { script: steps as unknown as JsonValue };
    const job = await jobs.start(fixture.spec({ action: 'diagnostics.collect', parameters }), {});
    expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
    return { job, text: (await output(job)).toString() };
  }

  test('reads what others may not, and has no power to change it', async () => {
    const { text } = await inside(
      'test -s /etc/shadow && ls /etc/ssh/sshd_config && grep CapEff /proc/self/status',
    );
    expect(text).toContain('/etc/ssh/sshd_config');
    expect(text).toMatch(/CapEff:\s+0+\nYES/);
  });

  test.each([
    'touch /etc/written',
    'touch /var/lib/written',
    'touch /boot/written',
    'chmod 600 /etc/passwd',
    'echo x >> /etc/ssh/sshd_config',
    'cat /etc/hostname > /proc/sys/kernel/hostname',
    'echo b > /proc/sysrq-trigger',
    'mount -o remount,rw /',
    'umount /run',
    'mknod /tmp/disk b 8 0',
    'systemctl daemon-reload',
    'ip link set lo up',
  ])('cannot change anything: %s', async (script) => {
    expect((await inside(script)).text).toMatch(/NO\n$/);
  });

  test('sees its observations, cannot change them, and nobody can afterwards', async () => {
    const folder = (job: string) => join(fixture.state, OBSERVED_FOLDER, job);
    const wait = `until ls ${join(fixture.state, OBSERVED_FOLDER)}/*/${OBSERVED_ALL}; do sleep 0.1; done`;
    const { job, text } = await inside(
      `${wait}; cd ${join(fixture.state, OBSERVED_FOLDER)}/*; ls; touch x || rm space.json`,
    );
    expect(text).toContain('space.json');
    expect(text).toMatch(/Read-only(.*\n)*NO/);
    while (existsSync(folder(job.id))) await sleep(10);
  });

  test('finds no socket and no pipe of other programs to talk to', async () => {
    const search = `find /run /root /home /tmp /var/tmp -not -name control.sock -not -name '.pipe-*' \\( -type s -o -type p \\) | grep .`;
    expect((await inside(search)).text).toBe('NO\n');
    expect((await inside('ls -A /root | grep -v "^.ssh$"')).text).toBe('NO\n');
  });
});

function processes(): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1');
      } catch {
        return '';
      }
    });
}
