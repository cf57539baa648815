import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OptedInServer } from '../harness/opted-in-server.ts';
import { eventually, run as runProgram, seededRandom } from '../harness/process.ts';
import {
  filesWith,
  formsOf,
  memoryHolds,
  ProcessWatch,
  tablesWith,
} from '../harness/secret-search.ts';
import { interveneProgram } from '../harness/stack-people.ts';
import type { JobView } from '../harness/stack-people.ts';

interface CredentialView {
  number: number;
  name: string;
  state: string;
  orders: number;
  digest: string;
  jobName: string | null;
}

/** Reads its secret, shows it, and goes on until it is told to end. */
const READER = [
  'secret=$(cat)',
  'printf %s "$secret" | sha256sum',
  'echo "it is $secret"',
  'touch /run/has-read',
  'while [ ! -e /run/may-end ]; do sleep 0.05; done',
].join('\n');
const KILLS = process.env.INTERVENE_TEST_ALL === '1' ? 20 : 4;
const seed = Number(process.env.INTERVENE_TEST_SEED ?? Date.now() % 1_000_000);

describe('secrets of people', () => {
  let server: OptedInServer;
  let own: string | undefined;
  let grant: string;
  let watched: (forms: readonly Buffer[]) => string[];
  let password: string;
  /** With all that quoting could go wrong with. */
  const canary = `canary-"${randomBytes(9).toString('hex')}"-\\é${randomBytes(9).toString('hex')}`;
  const typed = `typed-canary-${randomBytes(12).toString('hex')}`;
  const sh = (script: string) => server.debian.ok(['sh', '-c', script]);
  const credentials = async (profile: string, ...more: string[]) =>
    (await server.stack.json<{ items: CredentialView[] }>(profile, 'credentials', 'list', ...more))
      .items;
  const run = (...words: string[]) =>
    server.stack.cli('lead', 'run', 'web-04', 'command.run', '--yes', '--given', 'stdin', ...words);
  const file = (name: string) => path.join(own!, name);

  beforeAll(async () => {
    server = await OptedInServer.start();
    own = mkdtempSync(path.join(tmpdir(), 'iv-own-'));
    grant = `G-${(await server.stack.authorize('command.run,access.*')).number}`;
  }, 600_000);
  afterAll(async () => {
    await server?.close();
    if (own !== undefined) rmSync(own, { recursive: true, force: true });
  });

  /** Everywhere that nobody but the client and the server may find them. */
  async function placesWith(forms: readonly Buffer[]) {
    const { stack, debian } = server;
    const state = path.join(debian.root, 'var/lib/intervene');
    return {
      tables: await tablesWith(stack.data, forms),
      files: filesWith(
        [stack.folder, state, path.join(debian.root, 'var/log'), path.join(debian.root, 'run/log')],
        forms,
      ),
      memory: memoryHolds(stack.controlPlane.pid, forms),
    };
  }

  it('given by the client are used by a job, masked in its log, and told to no engineer', async () => {
    const { stack } = server;
    const watch = new ProcessWatch();
    writeFileSync(file('secret'), canary, { mode: 0o600 });
    const words = ['credentials', 'give', 'web-04', '--name', 'stdin', '--action', 'command.run'];
    await stack.ok('carol', ...words, '--grant', grant, '--from-file', file('secret'), '--yes');
    const running = run('--', 'sh', '-c', READER);
    await eventually('the job has read its secret', () =>
      sh('test -e /run/has-read').then(() => true),
    );
    watch.look();
    const forms = formsOf(canary);
    expect(await placesWith(forms)).toEqual({ tables: [], files: [], memory: false });
    await sh('touch /run/may-end');
    const done = await running;
    expect(done.status, done.stderr).toBe(0);
    expect(done.stdout).toContain(createHash('sha256').update(canary).digest('hex'));
    expect(done.stdout).toContain('it is •••');
    expect(isShown(done.stdout + done.stderr, forms)).toBe(false);
    watched = watch.stop();
    const seen = await credentials('lead');
    expect(seen).toMatchObject([{ name: 'stdin', state: 'usable', orders: 1 }]);
    const open = await stack.cli(
      'lead',
      'credentials',
      'open',
      `C-${seen[0]!.number}`,
      '--output',
      file('x'),
    );
    expect(open.status).toBe(3);
  });

  it('are found by this search where they do lie: it looks in the right places', async () => {
    const { stack } = server;
    const [given] = await credentials('carol');
    const digest = formsOf(given!.digest);
    const places = await placesWith(digest);
    expect(places.tables).toContain('public.credentials');
    expect(places.memory).toBe(true);
    expect(watched([Buffer.from('has-read')]).length).toBeGreaterThan(0);
    // A line of a log, which is stored compressed, and in the spool.
    expect((await placesWith(formsOf('it is •••'))).tables.join()).toContain('log_chunks');
    const state = path.join(server.debian.root, 'var/lib/intervene');
    expect(filesWith([state], formsOf('"type":"started"')).length).toBeGreaterThan(0);
    expect(filesWith([own!], formsOf(canary))).toEqual([file('secret')]);
    expect(filesWith([stack.folder], formsOf('the control plane runs'))).toHaveLength(1);
  });

  it('are used no more once they are withdrawn', async () => {
    const { stack } = server;
    const [{ number } = expect.fail('none')] = await credentials('carol');
    await stack.ok('carol', 'credentials', 'withdraw', `C-${number}`);
    const none = await run('--', 'cat');
    expect([none.status, none.stderr]).toEqual([
      3,
      expect.stringContaining('credential_not_given'),
    ]);
    // From standard input, as a program gives them.
    const give = ['credentials', 'give', 'web-04', '--name', 'stdin', '--from-file', '-', '--yes'];
    const given = await runProgram([interveneProgram, '--profile', 'carol', ...give], {
      env: stack.environment,
      input: typed,
    });
    expect(given.status, given.stderr).toBe(0);
    const again = await run('--', 'wc', '-c');
    expect([again.status, again.stdout]).toEqual([0, `${typed.length}\n`]);
  });

  it('made by a job are opened by the client alone, once, and are what the server has now', async () => {
    const { stack } = server;
    const watch = new ProcessWatch();
    const job = await resetPassword();
    const watchedReset = watch.stop();
    expect(job.state, JSON.stringify(job)).toBe('succeeded');
    expect(await credentials('lead', '--job', job.name)).toMatchObject([
      { name: 'password', state: 'unopened', jobName: job.name },
    ]);
    for (const profile of ['lead', 'admin']) {
      const refused = await stack.cli(
        profile,
        'credentials',
        'open',
        job.name,
        '--output',
        file('stolen'),
      );
      expect(refused.status).toBe(3);
    }
    const written = file('password');
    await stack.ok('carol', 'credentials', 'open', job.name, '--output', written, '--yes');
    expect(statSync(written).mode & 0o777).toBe(0o600);
    password = readFileSync(written, 'utf8');
    expect(await isRootsPassword(password)).toBe(true);
    const again = await stack.cli(
      'carol',
      'credentials',
      'open',
      job.name,
      '--output',
      file('again'),
    );
    expect([again.status, again.stderr]).toEqual([
      3,
      expect.stringContaining('was opened by carol'),
    ]);
    expect(await credentials('lead', '--job', job.name)).toMatchObject([{ state: 'opened' }]);
    expect(watchedReset(formsOf(password))).toEqual([]);
  });

  it('are in no table, log, spool, journal or job folder, in no argument and no environment, and not in the memory of the control plane', async () => {
    const found: Record<string, unknown> = {};
    for (const secret of [canary, typed, password]) {
      const forms = formsOf(secret);
      found[secret] = { ...(await placesWith(forms)), processes: watched(forms) };
    }
    const none = { tables: [], files: [], memory: false, processes: [] };
    expect(found).toEqual({ [canary]: none, [typed]: none, [password]: none });
  });

  it('leave papers that verify: who gave what for which use, who made what, and what was opened', async () => {
    const { stack } = server;
    const { items } = await stack.request<{ items: { number: number; jobs: number }[] }>(
      'carol',
      'GET',
      '/api/v1/interventions',
    );
    const pack = file('pack');
    await stack.ok(
      'carol',
      'interventions',
      'pack',
      String(items.find(({ jobs }) => jobs > 0)!.number),
      '--output',
      pack,
    );
    const verified = await stack.cli('carol', 'verify', pack);
    expect(verified.status, verified.stdout).toBe(0);
    expect(verified.stdout).toMatch(/holds\tsecret stdin of .*given by the client/);
    expect(verified.stdout).toMatch(/holds\tsecret "password" of .*opened 20/);
    const text = readFileSync(pack, 'utf8');
    const forged = file('forged');
    const [first = expect.fail('none')] = (await credentials('carol')).filter(
      ({ name }) => name === 'password',
    );
    writeFileSync(forged, text.replaceAll(first.digest, `sha256:${'0'.repeat(64)}`));
    expect((await stack.cli('carol', 'verify', forged)).stdout).toContain(
      'which the pack leaves out',
    );
  });

  it(`made by jobs are neither lost nor doubled when agent and control plane are killed (seed ${seed})`, async () => {
    const { stack, debian } = server;
    const random = seededRandom(seed);
    let isMade = 0;
    for (let round = 0; round < KILLS; round++) {
      const plan = await planReset();
      const ordered = await stack.json<JobView>('lead', ...applyReset(plan), '--detach');
      await delay(random() * 1_500);
      const kills = [
        () => debian.ok(['systemctl', 'kill', '--kill-whom=main', '-s', 'KILL', 'intervene-agent']),
        async () => {
          await stack.controlPlane.end('SIGKILL');
          stack.controlPlane.start();
          await stack.ready();
        },
      ];
      await Promise.all(kills.map((kill) => kill()));
      const job = await stack.ended(ordered.id, 120_000);
      const made = await credentials('carol', '--job', job.name);
      if (job.reason === 'not_started') {
        expect(made).toEqual([]);
        continue;
      }
      expect(job.state).toBe('succeeded');
      expect(made).toMatchObject([{ name: 'password', state: 'unopened' }]);
      const written = file(`password-${round}`);
      await stack.ok('carol', 'credentials', 'open', job.name, '--output', written, '--yes');
      expect(await isRootsPassword(readFileSync(written, 'utf8'))).toBe(true);
      isMade++;
    }
    expect(isMade).toBeGreaterThan(0);
  });

  async function planReset(): Promise<string> {
    const words = ['plan', 'web-04', 'access.reset-password', '--param', 'user=root'];
    const { planDigest } = await server.stack.json<{ planDigest: string }>('lead', ...words);
    return planDigest;
  }

  function applyReset(plan: string): string[] {
    return ['run', 'web-04', 'access.reset-password', '--plan', plan, '--yes'];
  }

  async function resetPassword(): Promise<JobView> {
    const { id } = await server.stack.json<JobView>(
      'lead',
      ...applyReset(await planReset()),
      '--detach',
    );
    return server.stack.ended(id);
  }

  /** By the server's own crypt(3). */
  async function isRootsPassword(text: string): Promise<boolean> {
    const script = 'my $h = (getpwnam("root"))[1]; exit(crypt(<STDIN>, $h) eq $h ? 0 : 1)';
    return (await server.debian.exec(['perl', '-e', script], { input: text })).status === 0;
  }
});

function isShown(text: string, forms: readonly Buffer[]): boolean {
  return forms.some((form) => Buffer.from(text).includes(form));
}
