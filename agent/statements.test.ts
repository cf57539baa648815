import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { uuidV7 } from '../test/fixtures/trust-world.ts';
import { hashOf, StatementStore } from './statements.ts';
import type { NewStatement } from './statements.ts';

let folder: string;
beforeEach(() => {
  folder = path.join(mkdtempSync(path.join(tmpdir(), 'iv-st-')), 'statements');
});
afterEach(() => rmSync(path.dirname(folder), { recursive: true, force: true }));

const NOW = 1_800_000_000;

function statement(changes: Partial<NewStatement> = {}): NewStatement {
  return {
    job: uuidV7(),
    orderHash: hashOf(Buffer.from('order')),
    receipt: Buffer.from('receipt').toString('base64'),
    permission: {
      action: 'command.run',
      mode: 'apply',
      isChanging: true,
      plan: null,
      grant: '01234567-89ab-4cde-8f01-23456789abcd',
      grantExpiresAt: NOW + 3600,
      keys: [`SHA256:${'a'.repeat(43)}`],
    },
    keepUntil: NOW + 100,
    ...changes,
  };
}

describe('StatementStore', () => {
  it('knows after a restart what was stated, how it ended, and what is done', async () => {
    const store = StatementStore.open(folder, NOW);
    const [running, ended, done] = [statement(), statement(), statement()];
    for (const each of [running, ended, done]) store.put(each);
    store.setEnded(ended.job, Buffer.from('end'));
    store.setDone(done.job);
    await store.sync(running.job);
    const again = StatementStore.open(folder, NOW);
    expect(again.get(running.job)).toEqual({ ...running, ended: null, isDone: false });
    expect(again.get(ended.job)).toMatchObject({ ended: Buffer.from('end'), isDone: false });
    expect(again.get(done.job)).toMatchObject({ ended: null, isDone: true });
    expect([...again.all()]).toHaveLength(3);
  });

  it('is for root alone', () => {
    const store = StatementStore.open(folder, NOW);
    const one = statement();
    store.put(one);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
    expect(statSync(path.join(folder, `${one.job}.json`)).mode & 0o777).toBe(0o600);
  });

  it('forgets what is done and past its time, and never an open job', () => {
    const store = StatementStore.open(folder, NOW);
    const [open, done, refused] = [
      statement({ keepUntil: NOW - 1 }),
      statement({ keepUntil: NOW - 1 }),
      statement({ keepUntil: NOW - 1, permission: null }),
    ];
    for (const each of [open, done, refused]) store.put(each);
    store.setDone(done.job);
    const again = StatementStore.open(folder, NOW);
    expect([...again.all()].map(({ job }) => job)).toEqual([open.job]);
    expect(readdirSync(folder)).toEqual([`${open.job}.json`]);
  });

  it('goes on when a job is done and the disk takes no more', () => {
    const store = StatementStore.open(folder, NOW);
    const done = statement({ keepUntil: NOW - 1 });
    store.put(done);
    rmSync(folder, { recursive: true });
    store.setDone(done.job);
    expect(store.get(done.job)).toMatchObject({ isDone: true });
  });

  it('forgets while it goes on, too, and says what', () => {
    const store = StatementStore.open(folder, NOW);
    const [open, refused, fresh] = [
      statement(),
      statement({ permission: null }),
      statement({ permission: null, keepUntil: NOW + 1000 }),
    ];
    for (const each of [open, refused, fresh]) store.put(each);
    expect(store.prune(NOW + 50)).toEqual([]);
    expect(store.prune(NOW + 500)).toEqual([refused.job]);
    expect([...store.all()].map(({ job }) => job)).toEqual([open.job, fresh.job]);
  });

  it('drops what a power cut left torn', () => {
    const store = StatementStore.open(folder, NOW);
    const [torn, ended] = [statement(), statement()];
    store.put(torn);
    store.put(ended);
    store.setEnded(ended.job, Buffer.from('end'));
    writeFileSync(path.join(folder, `${torn.job}.json`), '{"job":"');
    writeFileSync(path.join(folder, `${ended.job}.ended`), '');
    const again = StatementStore.open(folder, NOW);
    expect(again.get(torn.job)).toBeUndefined();
    expect(again.get(ended.job)).toMatchObject({ ended: null });
  });

  it('keeps a thousand refusals and every acceptance, whoever floods it', () => {
    const store = StatementStore.open(folder, NOW);
    const accepted = statement();
    store.put(accepted);
    const first = statement({ permission: null });
    store.put(first);
    for (let count = 0; count < 1_000; count++) store.put(statement({ permission: null }));
    expect(store.get(first.job)).toBeUndefined();
    expect(store.get(accepted.job)).toBeDefined();
    expect(readdirSync(folder)).toHaveLength(1_001);
  });

  it('throws when it cannot write, and remembers all the same', () => {
    const store = StatementStore.open(folder, NOW);
    rmSync(folder, { recursive: true });
    const one = statement();
    expect(() => store.put(one)).toThrow(/ENOENT/);
    expect(store.get(one.job)).toMatchObject({ receipt: one.receipt });
  });

  it('remembers no end that it could not write: it was not stated', () => {
    const store = StatementStore.open(folder, NOW);
    const one = statement();
    store.put(one);
    rmSync(folder, { recursive: true });
    expect(() => store.setEnded(one.job, Buffer.from('end'))).toThrow(/ENOENT/);
    expect(store.get(one.job)?.ended).toBe(null);
  });

  it('makes no file for a name that is none', () => {
    const store = StatementStore.open(folder, NOW);
    expect(() => store.put(statement({ job: '../../etc/passwd' }))).toThrow();
    expect(readdirSync(folder)).toEqual([]);
  });
});
