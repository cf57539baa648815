import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readUnverified } from '../../proto/documents/document.ts';
import { eventually } from '../harness/process.ts';
import { OPEN_POLICY, Stack } from '../harness/stack.ts';
import type { JobView } from '../harness/stack-people.ts';

type Job = JobView & { owner: string; signedBy: string[]; startBefore: string };

/** The stack's lead is `erin`, with the profile `lead`; these are the people beside her. */
describe('the people of a provider', () => {
  let stack: Stack;

  beforeAll(async () => {
    stack = await Stack.start();
    await stack.addPerson('bert', 'engineer');
    await stack.addPerson('otto', 'auditor');
  });
  afterAll(() => stack?.close());

  const asLead = async (...words: string[]) =>
    stack.json<Job>('lead', 'run', 'web-04', 'command.run', ...words);

  it('two of them sign what needs two, and the agent counts them', async () => {
    await stack.authorize('command.run', '--class-c-engineers', '2');
    const proposed = await asLead('--yes', '--detach', '--', 'echo', 'together');
    expect(proposed).toMatchObject({ state: 'proposed', signedBy: ['erin'] });
    const own = await stack.cli('lead', 'approve', proposed.name, '--yes', '--order', '00');
    expect(own.status).toBe(3);

    const { order } = await stack.request<{ order: string }>(
      'bert',
      'GET',
      `/api/v1/jobs/${proposed.id}/documents`,
    );
    expect(order.length).toBeGreaterThan(100);
    const { orderDigest } = await stack.request<{ orderDigest: string }>(
      'bert',
      'GET',
      `/api/v1/jobs/${proposed.id}`,
    );
    const approval = ['approve', proposed.name, '--yes', '--order', orderDigest];
    const approved = await stack.cli('bert', ...approval);
    expect(approved.status, approved.stderr).toBe(0);
    expect(approved.stderr).toContain('"together"');
    const done = await stack.ended(proposed.id);
    expect(done).toMatchObject({ state: 'succeeded', signedBy: ['erin', 'bert'] });
    expect(await stack.ok('lead', 'logs', proposed.name)).toBe('together\n');
    const again = await stack.cli('bert', ...approval);
    expect(again).toMatchObject({ status: 3, stderr: expect.stringContaining('job_not_proposed') });
  });

  it('the policy of the server may want more than the client, and says so', async () => {
    const policy = path.join(stack.folder, 'policy.toml');
    writeFileSync(policy, `${OPEN_POLICY}engineers-for-class-c = 2\n`);
    try {
      await stack.revokeAll();
      await stack.authorize('command.run');
      const alone = await stack.cli('lead', 'run', 'web-04', 'command.run', '--yes', '--', 'true');
      expect(alone.status).toBe(3);
      expect(alone.stderr).toContain('engineers_too_few');
      expect(alone.stderr).toContain('--engineers 2');
      const proposed = await asLead('--yes', '--detach', '--engineers', '2', '--', 'true');
      expect(proposed.state).toBe('proposed');
      const { orderDigest } = await stack.request<{ orderDigest: string }>(
        'bert',
        'GET',
        `/api/v1/jobs/${proposed.id}`,
      );
      await stack.ok('bert', 'approve', proposed.name, '--yes', '--order', orderDigest);
      expect((await stack.ended(proposed.id)).state).toBe('succeeded');
    } finally {
      writeFileSync(policy, OPEN_POLICY);
    }
  });

  it('an auditor reads everything and changes nothing', async () => {
    for (const words of ['jobs list', 'servers list', 'engineers list', 'interventions list']) {
      expect((await stack.cli('otto', ...words.split(' '))).status, words).toBe(0);
    }
    const { items } = await stack.json<{ items: Job[] }>('otto', 'jobs', 'list');
    expect(await stack.ok('otto', 'logs', items.at(-1)!.name)).toBe('together\n');
    const operator = await stack.request<{ items: unknown[] }>(
      'otto',
      'GET',
      '/api/v1/audit?chain=operator',
    );
    expect(operator.items.length).toBeGreaterThan(3);
    const refused = await stack.cli('otto', 'jobs', 'cancel', items[0]!.name);
    expect(refused.stderr).toContain('role_not_allowed');
    expect((await stack.cli('otto', 'keys', 'create', '--no-passphrase')).status).toBe(2);
  });

  describe('when one of them leaves', () => {
    beforeAll(async () => {
      await stack.addPerson('lena', 'lead');
      await stack.revokeAll();
      await stack.authorize('command.run');
    });

    it('refuses what waits, hands what runs to the lead, and the agent remembers it for good', async () => {
      const run = ['run', 'web-04', 'command.run', '--yes', '--detach', '--'];
      const runs = await stack.json<Job>('bert', ...run, 'sleep', '90');
      await eventually('the job runs', async () => (await stack.job(runs.id)).state === 'running');
      await stack.agent.end('SIGKILL');
      const waits = await stack.json<Job>('bert', ...run, 'true');

      const removed = await stack.cli('lena', 'engineers', 'remove', 'bert', '--reason', 'left');
      expect(removed.status, removed.stderr).toBe(0);
      expect(await stack.job(runs.id)).toMatchObject({ state: 'running', owner: 'lena' });
      stack.agent.start();
      const refused = await stack.ended(waits.id);
      expect(refused).toMatchObject({ state: 'refused', reason: 'revoked' });
      const shown = await stack.cli('lena', 'jobs', 'show', waits.name);
      expect(shown.stdout).toContain('revoked');

      const file = path.join(stack.state, 'trust/revocations.json');
      const held = JSON.parse(readFileSync(file, 'utf8')) as { signed: string[] };
      const revoked = held.signed.flatMap(
        (one) => readUnverified('revoke', Buffer.from(one, 'base64')).payload.keys,
      );
      expect(revoked).toHaveLength(1);
      expect((await stack.cli('bert', ...run, 'true')).stderr).toContain('order_not_yours');
      await stack.ok('lena', 'jobs', 'cancel', runs.name);
      expect((await stack.ended(runs.id)).state).toBe('cancelled');
    });
  });
});
