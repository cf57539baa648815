import { mkdirSync, writeFileSync } from 'node:fs';
import { hostname } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Daemon, eventually, run } from '../harness/process.ts';
import { agentProgram, OPEN_POLICY, Stack } from '../harness/stack.ts';
import type { Enrollment } from '../harness/stack.ts';
import type { JobView } from '../harness/stack-people.ts';

/** A second server of acme, whose agent runs as in a rescue environment. */
describe('a server in rescue', () => {
  let stack: Stack;
  let rescue: Daemon;

  beforeAll(async () => {
    stack = await Stack.start();
    for (const name of ['bert', 'cleo']) await stack.addPerson(name, 'engineer');
    await stack.ok('lead', 'servers', 'add', 'web-09', '--account', 'acme');
    const enrolling = ['enroll', 'web-09', '--mode', 'rescue', '--no-wait'];
    const enrollment = await stack.json<Enrollment>('lead', ...enrolling);
    const folder = path.join(stack.folder, 'rescue');
    mkdirSync(path.join(folder, 'state'), { recursive: true, mode: 0o700 });
    const write = (name: string, text: string) => {
      const file = path.join(folder, name);
      writeFileSync(file, text, { mode: 0o600 });
      return file;
    };
    const address = `127.0.0.1:${stack.agentPort}`;
    const files = [
      ...['--config', write('agent.toml', `control-plane = ["${address}"]\n`)],
      ...['--policy', write('policy.toml', OPEN_POLICY)],
      ...['--state', path.join(folder, 'state')],
    ];
    const done = await run([
      ...[agentProgram, 'enroll', ...files, '--server-address', address, '--mode', 'rescue'],
      ...['--token-file', write('token', enrollment.token), '--ca', enrollment.caPin],
      ...['--root', enrollment.rootDigest, '--account-keys', enrollment.accountKeysDigest, '--yes'],
    ]);
    expect(done.status, done.stderr).toBe(0);
    rescue = new Daemon([agentProgram, 'run', ...files], path.join(folder, 'agent.log'));
    rescue.start();
    await eventually('it is connected', async () => {
      const shown = await stack.json<{ agent: { state: string } | null }>(
        'lead',
        'servers',
        'show',
        'web-09',
      );
      return shown.agent?.state === 'connected';
    });
  });
  afterAll(async () => {
    await rescue?.end('SIGTERM');
    await stack?.close();
  });

  const attest = (profile: string, server: string) =>
    stack.cli(
      profile,
      ...['attest', server, '--ticket', 'T-9', '--actions', 'command.run', '--highest-class', 'C'],
      ...['--words-file', path.join(stack.folder, 'mail'), '--why', 'has no keys'],
      ...['--accept-no-undo', '--backup', 'no', '--interruption', 'yes', '--yes'],
    );
  const order = (profile: string, ...more: string[]) =>
    stack.cli(profile, 'run', 'web-09', 'command.run', '--yes', ...more, '--', 'echo', 'saved');

  it('changes nothing before an engineer has confirmed which machine it is', async () => {
    writeFileSync(path.join(stack.folder, 'mail'), 'Please repair my server, do what is needed.');
    const grant = ['authorize', 'web-09', '--ticket', 'T-8', '--actions', 'command.run'];
    const answers = ['--backup', 'no', '--interruption', 'yes', '--accept-no-undo', '--yes'];
    await stack.ok('carol', ...grant, '--highest-class', 'C', ...answers);
    const done = await order('lead');
    expect([done.status, done.stderr.includes('unidentified')]).toEqual([3, true]);
    expect(done.stderr).toContain('servers identify web-09');

    const wrong = await stack.cli('bert', 'servers', 'identify', 'web-09', '--expect-serial', 'X');
    expect([wrong.status, wrong.stderr.includes('identity_mismatch')]).toEqual([1, true]);
    const { agent } = await stack.json<{ agent: { facts: { macAddresses: string[] } } }>(
      'bert',
      'servers',
      'show',
      'web-09',
    );
    const macs = agent.facts.macAddresses.flatMap((address) => ['--expect-mac', address]);
    const identified = await stack.json<{ identity: object }>(
      'bert',
      ...['servers', 'identify', 'web-09', ...macs, '--expect-hostname', hostname()],
    );
    expect(identified.identity).toMatchObject({ hostname: hostname(), confirmedBy: 'bert' });
    expect((await order('lead')).stdout).toBe('saved\n');
  });

  it('takes the word of one engineer for the client, and the orders of two others', async () => {
    await stack.revokeAll();
    const attested = await attest('lead', 'web-09');
    expect(attested.status, attested.stderr).toBe(0);
    const own = await order('lead');
    expect([own.status, own.stderr.includes('attested')]).toEqual([3, true]);
    const proposed = JSON.parse((await order('bert', '--detach', '--json')).stdout) as JobView & {
      orderDigest: string;
    };
    expect(proposed.state).toBe('proposed');
    const approval = ['approve', proposed.name, '--yes', '--order', proposed.orderDigest];
    const attester = await stack.cli('lead', ...approval);
    expect(attester.stderr).toContain('attestation_not_allowed');
    const approved = await stack.cli('cleo', ...approval);
    expect(approved.status, approved.stderr).toBe(0);
    expect((await stack.ended(proposed.id)).state).toBe('succeeded');
    expect(await stack.ok('bert', 'logs', proposed.name)).toBe('saved\n');
  });

  it('is the only kind that does: one that opted in needs its owner', async () => {
    const refused = await attest('lead', 'web-04');
    expect([refused.status, refused.stderr.includes('attestation_not_allowed')]).toEqual([3, true]);
    const identify = await stack.cli(
      'bert',
      'servers',
      'identify',
      'web-04',
      '--expect-serial',
      'X',
    );
    expect([identify.status, identify.stderr.includes('agent_not_in_rescue')]).toEqual([3, true]);
  });
});
