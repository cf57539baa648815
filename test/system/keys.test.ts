import { readdirSync, readFileSync, rmSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readUnverified, signDocument } from '../../proto/documents/document.ts';
import { generateSigningKey, loadSigningKey } from '../../proto/documents/keys.ts';
import { eventually } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';

describe('the keys of a client', () => {
  let stack: Stack;
  const run = () => stack.cli('lead', 'run', 'web-04', 'command.run', '--yes', '--', 'echo', 'hi');

  beforeAll(async () => {
    stack = await Stack.start();
  });
  afterAll(() => stack?.close());

  /** Waits until the agent has taken a version of the account's keys over. */
  async function agentHolds(version: number): Promise<void> {
    await eventually(`the agent holds version ${version}`, async () => {
      const shown = await stack.agentCommand('trust');
      return new RegExp(`account keys.*version ${version}\\b`, 'i').test(shown.stdout);
    });
  }

  it('are replaced, and the agent refuses what the old one signed', async () => {
    await stack.authorize('command.run');
    expect((await run()).status).toBe(0);
    await stack.ok('carol', 'keys', 'rotate', '--no-passphrase');
    await agentHolds(2);
    const old = await run();
    expect([old.status, old.stderr.includes('signer_unknown')]).toEqual([3, true]);
    await stack.revokeAll();
    await stack.authorize('command.run');
    expect((await run()).status).toBe(0);
  });

  it('are had again with the recovery key when they are lost, and the lost one counts no more', async () => {
    const home = stack.environment['INTERVENE_HOME']!;
    rmSync(path.join(home, 'profiles/carol/keys'), { recursive: true });
    await expect(stack.authorize('command.run')).rejects.toThrow(/no_account_key/);
    const recover = (paper: string, out: string) =>
      stack.cli(
        'carol',
        ...['keys', 'recover', '--no-passphrase', '--recovery-key-file', paper],
        ...['--recovery-out', out],
      );
    const first = path.join(stack.folder, 'carol.recovery');
    const second = path.join(stack.folder, 'carol.recovery-2');
    const done = await recover(first, second);
    expect(done.status, done.stderr).toBe(0);
    await agentHolds(3);
    expect((await run()).stderr).toContain('signer_unknown');
    // Signed by the key on paper, and so kept whatever the control plane says later.
    const kept = readFileSync(path.join(stack.state, 'trust/revocations.json'), 'utf8');
    const revoked = (JSON.parse(kept) as { signed: string[] }).signed.flatMap(
      (envelope) => readUnverified('revoke', Buffer.from(envelope, 'base64')).payload.keys,
    );
    expect(revoked).toHaveLength(1);
    await stack.revokeAll();
    await stack.authorize('command.run');
    expect((await run()).status).toBe(0);
    const again = await recover(first, path.join(stack.folder, 'never'));
    expect([again.status, again.stderr.includes('recovery_key_wrong')]).toEqual([2, true]);
  });

  it('come to the agent also when their chain does not fit into one message', async () => {
    const folder = path.join(stack.environment['INTERVENE_HOME']!, 'profiles/carol/keys');
    const names = readdirSync(folder).filter((name) => name.endsWith('.key'));
    const signers = names.map((name) =>
      loadSigningKey(readFileSync(path.join(folder, name), 'utf8')),
    );
    const keysPath = '/api/v1/accounts/acme/keys';
    const { items } = await stack.request<{ items: { envelope: string }[] }>(
      'carol',
      'GET',
      keysPath,
    );
    let bytes: Uint8Array = Buffer.from(items.at(-1)!.envelope, 'base64');
    let sum = 0;
    while (sum < 300 * 1024) {
      const { payload, digest } = readUnverified('account-keys', bytes);
      const kept = payload.keys.filter(({ name }) => !name.startsWith('spare'));
      const spare = Array.from({ length: 28 }, (_, at) => ({
        key: generateSigningKey().signer.key,
        name: `spare ${at} ${'x'.repeat(180)}`,
        use: 'signing' as const,
      }));
      const own = signers.find(({ key }) => kept.some((one) => one.key.public === key.public))!;
      const next = { ...payload, version: payload.version + 1, previous: digest };
      bytes = signDocument('account-keys', { ...next, keys: [...kept, ...spare] }, [own]);
      const envelope = Buffer.from(bytes).toString('base64');
      await stack.request('carol', 'POST', keysPath, { envelope });
      sum += bytes.byteLength;
    }
    const { version } = readUnverified('account-keys', bytes).payload;
    await agentHolds(version);
    await stack.revokeAll();
    await stack.authorize('command.run');
    expect((await run()).status).toBe(0);

    // Enrolled anew, it gets the beginning in the answer and the rest when it connects.
    await stack.agent.end('SIGTERM');
    rmSync(stack.state, { recursive: true });
    await stack.enrollAgent();
    stack.agent.start();
    await stack.connected();
    await agentHolds(version);
    expect((await run()).status).toBe(0);
  });

  it('leave a pack behind that verifies from the first ones on', async () => {
    const file = path.join(stack.folder, 'pack.json');
    await stack.ok('carol', 'interventions', 'pack', '1001', '--output', file);
    const checked = await stack.cli('carol', 'verify', file);
    expect(checked.status, checked.stdout + checked.stderr).toBe(0);
  });
});
