import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eventually } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';

describe('a client opts a server in, authorizes, watches and revokes', () => {
  let stack: Stack;
  const marker = () => path.join(stack.folder, 'marker');
  const touch = (...more: string[]) =>
    stack.cli('lead', 'run', 'web-04', 'command.run', '--yes', ...more, '--', 'touch', marker());

  beforeAll(async () => {
    stack = await Stack.start();
  });
  afterAll(() => stack?.close());

  it('refuses a job that nobody authorized, and starts nothing', async () => {
    const done = await touch();
    expect(done.status).toBe(3);
    expect(done.stderr).toContain('grant_missing');
    expect(() => readFileSync(marker())).toThrow();
  });

  it('refuses an action outside the grant', async () => {
    await stack.authorize('filesystem.*');
    const done = await touch();
    expect(done.status).toBe(3);
    expect(() => readFileSync(marker())).toThrow();
  });

  it('runs what the client allowed, prints its output and tells the outcome', async () => {
    await stack.authorize('command.run');
    const done = await stack.cli(
      'lead',
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--',
      'echo',
      'hello',
    );
    expect(done.stdout).toBe('hello\n');
    expect(done.stderr).toContain('Succeeded');
    expect(done.status).toBe(0);
  });

  it('passes a sealed secret on standard input and masks it in the log', async () => {
    const secret = path.join(stack.folder, 'secret');
    writeFileSync(secret, 'correct horse battery staple', { mode: 0o600 });
    const done = await stack.cli(
      'lead',
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--secret',
      `stdin=${secret}`,
      '--',
      'sh',
      '-c',
      'cat; echo; sha256sum /dev/null | cut -c1-8',
    );
    expect(done.status).toBe(0);
    expect(done.stdout).not.toContain('correct horse');
    expect(done.stdout).toContain('•••');
    expect(done.stdout).toContain('e3b0c442');
  });

  it('stops a running job within 5 s when the client revokes, and refuses the next', async () => {
    const grant = await stack.authorize('command.run');
    const started = await stack.json<{ id: string }>(
      'lead',
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--detach',
      '--',
      'setsid',
      'sleep',
      '60',
    );
    await eventually('the job runs', async () => (await stack.job(started.id)).state === 'running');
    const { items } = await stack.request<{ items: { id: string; state: string }[] }>(
      'carol',
      'GET',
      '/api/v1/grants',
    );
    const before = performance.now();
    for (const entry of items.filter((item) => item.state === 'valid')) {
      await stack.ok('carol', 'revoke', entry.id, '--yes');
    }
    const job = await eventually('the job has stopped', async () => {
      const view = await stack.job(started.id);
      return view.state === 'running' ? null : view;
    });
    expect(performance.now() - before).toBeLessThan(8_000);
    expect(job.state).toBe('cancelled');
    expect(items.map((item) => item.id)).toContain(grant.id);
    expect((await touch()).status).toBe(3);
    expect(() => readFileSync(marker())).toThrow();
  });

  it('hands the client a pack that verifies offline, and names what was changed in a forged one', async () => {
    const file = path.join(stack.folder, 'pack.json');
    const { items } = await stack.request<{ items: { number: number; jobs: number }[] }>(
      'carol',
      'GET',
      '/api/v1/interventions',
    );
    const number = String(items.find((item) => item.jobs > 0)!.number);
    await stack.ok('carol', 'interventions', 'pack', number, '--output', file);
    const good = await stack.cli('carol', 'verify', file);
    expect(good.status, good.stderr + good.stdout).toBe(0);

    const pack = JSON.parse(readFileSync(file, 'utf8')) as { chain: { entry: string }[] };
    pack.chain[2]!.entry = pack.chain[2]!.entry.replace(/"at":"20/, '"at":"21');
    const forged = path.join(stack.folder, 'forged.json');
    writeFileSync(forged, JSON.stringify(pack));
    const bad = await stack.cli('carol', 'verify', forged);
    expect(bad.status).toBe(1);
    expect(bad.stdout + bad.stderr).toMatch(/\b3\b/);
  });

  it('keeps the secret out of the database, the logs and the job folders', async () => {
    const found = await import('node:child_process').then(({ spawnSync }) =>
      spawnSync(
        'grep',
        [
          '-rlaF',
          'correct horse battery staple',
          stack.data,
          stack.state,
          path.join(stack.folder, 'control-plane.log'),
          path.join(stack.folder, 'agent.log'),
        ],
        { encoding: 'utf8' },
      ),
    );
    expect(found.stdout).toBe('');
  });

  it('lock stops what runs within a second, with no network and no agent to ask', async () => {
    await stack.authorize('command.run');
    const started = await stack.json<{ id: string }>(
      'lead',
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--detach',
      '--',
      'sleep',
      '61',
    );
    await eventually('the job runs', async () => (await stack.job(started.id)).state === 'running');
    await stack.agent.end('SIGKILL');
    const before = performance.now();
    const locked = await stack.agentCommand('lock');
    expect(locked.status, locked.stderr).toBe(0);
    expect(performance.now() - before).toBeLessThan(2_000);
    stack.agent.start();
    const job = await eventually('the end is known', async () => {
      const view = await stack.job(started.id);
      return view.state === 'running' ? null : view;
    });
    expect(job).toMatchObject({ state: 'interrupted', reason: 'locked' });
    const refused = await touch();
    expect(refused.status).toBe(3);
    expect(refused.stderr).toContain('locked');
    expect((await stack.agentCommand('unlock')).status).toBe(0);
    const again = await stack.cli(
      'lead',
      'run',
      'web-04',
      'command.run',
      '--yes',
      '--',
      'echo',
      'back',
    );
    expect(again.stdout).toBe('back\n');
  });
});
