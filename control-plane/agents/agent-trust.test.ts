import { pino } from 'pino';
import { expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createLocalBus } from '../cluster/bus.ts';
import { AgentTrust } from './agent-trust.ts';

const test = useTestDatabase();

it('a revocation that became stronger is told though its wake-up was lost', async () => {
  const { database } = test;
  const [account] = await database.query<{ id: string }>(
    `insert into accounts (id, name) values (gen_random_uuid(), 'acme') returning id`,
  );
  await database.query(
    `insert into revocations (subject, account_id, kind, after_step) values ('x', $1, 'key', true)`,
    [account!.id],
  );
  const trust = new AgentTrust({
    queries: database,
    bus: createLocalBus(),
    log: pino({ enabled: false }),
    certificationsOf: () => Promise.resolve([]),
  });
  let told = 0;
  const stop = await trust.watch(account!.id, () => told++);
  trust.start();
  try {
    // The first look only takes note of what there is.
    await new Promise((resolve) => setTimeout(resolve, 5_500));
    expect(told).toBe(1);
    await database.query(`update revocations set after_step = false where subject = 'x'`);
    await expect.poll(() => told, { timeout: 30_000 }).toBe(2);
  } finally {
    trust.stop();
    stop();
  }
}, 20_000);
