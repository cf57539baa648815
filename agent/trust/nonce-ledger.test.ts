import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFile, mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { uuidV7 } from '../../test/fixtures/trust-world.ts';
import { LedgerError, NonceLedger } from './nonce-ledger.ts';
import type { LedgerEntry } from './nonce-ledger.ts';

const NOW = 1_800_000_000;
const UNTIL = NOW + 24 * 3600;

let folder: string;
let file: string;
const open: NonceLedger[] = [];

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivnl-'));
  file = path.join(folder, 'ledger');
});
afterEach(async () => {
  await Promise.all(open.splice(0).map(async (ledger) => ledger.close().catch(() => undefined)));
  await rm(folder, { recursive: true });
});

async function openLedger(now = NOW): Promise<NonceLedger> {
  const ledger = await NonceLedger.open(file, now);
  open.push(ledger);
  return ledger;
}

const entry = (changes: Partial<LedgerEntry> = {}): LedgerEntry => ({
  nonce: randomBytes(16).toString('base64url'),
  job: uuidV7(),
  until: UNTIL,
  ...changes,
});

describe('the nonce ledger', () => {
  it('lets every order through once', async () => {
    const ledger = await openLedger();
    const first = entry();
    expect(await ledger.burn(first)).toBe(true);
    expect(await ledger.burn(first)).toBe(false);
    expect(await ledger.burn(entry({ nonce: first.nonce }))).toBe(false);
    expect(await ledger.burn(entry({ job: first.job }))).toBe(false);
    expect(ledger.hasJob(first.job)).toBe(true);
    expect(ledger.hasJob(uuidV7())).toBe(false);
    expect(ledger.hasOrder(first)).toBe(true);
    expect(ledger.hasOrder(entry({ job: first.job }))).toBe(false);
    expect(ledger.hasOrder(entry({ nonce: first.nonce }))).toBe(false);
    expect(await ledger.burn(entry())).toBe(true);
  });

  it('lets one of many at the same moment through', async () => {
    const ledger = await openLedger();
    const one = entry();
    const burnt = await Promise.all(Array.from({ length: 50 }, async () => ledger.burn(one)));
    expect(burnt.filter(Boolean)).toHaveLength(1);
  });

  it('has an entry on disk when it says so', async () => {
    const ledger = await openLedger();
    const one = entry();
    await ledger.burn(one);
    expect(await readFile(file, 'utf8')).toBe(`${JSON.stringify(one)}\n`);
  });

  it('knows after a restart what was burnt before, in any order', async () => {
    const entries = Array.from({ length: 20 }, () => entry());
    const first = await openLedger();
    await Promise.all(entries.map(async (one) => first.burn(one)));
    const second = await openLedger();
    const burnt = await Promise.all(entries.map(async (one) => second.burn(one)));
    expect(burnt).not.toContain(true);
  });

  it('forgets what is past its time while it runs, once that is most of it', async () => {
    const ledger = await openLedger();
    const past = Array.from({ length: 1500 }, () => entry({ until: NOW + 10 }));
    const kept = Array.from({ length: 20 }, () => entry());
    await Promise.all([...past, ...kept].map(async (one) => ledger.burn(one)));
    await ledger.compact(NOW + 9);
    expect(ledger.hasOrder(past[0]!)).toBe(true);

    const late = entry();
    const [, isFirst] = await Promise.all([ledger.compact(NOW + 10), ledger.burn(late)]);
    expect(isFirst).toBe(true);
    expect(ledger.hasOrder(past[0]!)).toBe(false);
    const again = [...kept, late].map(async (one) => ledger.burn(one));
    expect(await Promise.all(again)).not.toContain(true);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(new Set(lines).size).toBe(kept.length + 1);
    expect(await ledger.burn(entry())).toBe(true);
    expect((await openLedger(NOW + 10)).hasOrder(late)).toBe(true);
  });

  it('does not trouble to forget a few', async () => {
    const ledger = await openLedger();
    const one = entry({ until: NOW + 10 });
    await ledger.burn(one);
    await ledger.compact(NOW + 1000);
    expect(ledger.hasOrder(one)).toBe(true);
  });

  it('is broken when it cannot be written anew', async () => {
    const ledger = await openLedger();
    const past = Array.from({ length: 1024 }, () => entry({ until: NOW }));
    await Promise.all(past.map(async (one) => ledger.burn(one)));
    await rm(file);
    await mkdir(file);
    await expect(ledger.compact(NOW)).rejects.toThrow(LedgerError);
    await expect(ledger.burn(entry())).rejects.toThrow(LedgerError);
  });

  it('forgets what is past its time when it is opened', async () => {
    const [early, late] = [entry({ until: NOW + 10 }), entry({ until: NOW + 11 })];
    const first = await openLedger();
    await first.burn(early);
    await first.burn(late);
    expect(await first.burn(early)).toBe(false);
    const second = await openLedger(NOW + 10);
    expect(await readFile(file, 'utf8')).toBe(`${JSON.stringify(late)}\n`);
    expect(second.hasJob(early.job)).toBe(false);
    expect(await second.burn(late)).toBe(false);
  });

  it('drops a last line that was not written whole, wherever it was cut', async () => {
    const [kept, torn] = [entry(), entry()];
    const whole = `${JSON.stringify(kept)}\n${JSON.stringify(torn)}\n`;
    const start = whole.indexOf('\n') + 1;
    for (let length = start; length < whole.length - 1; length += 7) {
      await writeFile(file, whole);
      await truncate(file, length);
      const ledger = await openLedger();
      expect(ledger.hasJob(kept.job)).toBe(true);
      expect(ledger.hasJob(torn.job)).toBe(false);
      expect(await ledger.burn(torn)).toBe(true);
    }
  });

  it('keeps a last line that lacks only its end', async () => {
    const last = entry();
    await writeFile(file, JSON.stringify(last));
    const ledger = await openLedger();
    expect(await ledger.burn(last)).toBe(false);
    await ledger.burn(entry());
    expect((await openLedger()).hasJob(last.job)).toBe(true);
  });

  it('drops what a power cut left of a block that was never written', async () => {
    const kept = entry();
    await writeFile(file, `${JSON.stringify(kept)}\n`);
    await appendFile(file, Buffer.alloc(300));
    expect((await openLedger()).hasJob(kept.job)).toBe(true);
  });

  it.each([
    ['junk', 'junk\n'],
    ['an empty line', '\n'],
    ['an entry of another form', '{"nonce":"a","job":"b","until":1}\n'],
    ['an entry with a field more', `${JSON.stringify({ ...entry(), more: 1 })}\n`],
  ])('is refused with %s before its end', async (_what, line) => {
    await writeFile(file, `${line}${JSON.stringify(entry())}\n`);
    await expect(NonceLedger.open(file, NOW)).rejects.toThrow(LedgerError);
  });

  it('is refused when it cannot be read', async () => {
    await expect(NonceLedger.open(folder, NOW)).rejects.toThrow(LedgerError);
  });

  it('is never opened with an entry that was burnt and is now missing, whichever bit flips', async () => {
    const entries = Array.from({ length: 3 }, () => entry());
    const whole = Buffer.from(entries.map((one) => `${JSON.stringify(one)}\n`).join(''));
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.length - 2 }), fc.nat({ max: 7 }), async (at, bit) => {
        const bytes = Buffer.from(whole);
        bytes[at]! ^= 1 << bit;
        await writeFile(file, bytes);
        const jobs = await NonceLedger.open(file, NOW).then(
          async (ledger) => {
            await ledger.close();
            return entries.filter(({ job }) => ledger.hasJob(job)).length;
          },
          (error: unknown) => {
            if (error instanceof LedgerError) return 'refused';
            throw error;
          },
        );
        // A bit of the last line cannot be told from a torn write; one in a job's name makes another job.
        expect(['refused', 2, 3]).toContain(jobs);
      }),
      { numRuns: 200 },
    );
  });

  it('is broken for good by a write that failed', async () => {
    // A limit on the size of files makes the kernel refuse the write, as a full disk does.
    const script = `
      import { execFileSync } from 'node:child_process';
      import { NonceLedger } from ${JSON.stringify(new URL('nonce-ledger.ts', import.meta.url).href)};
      process.on('SIGXFSZ', () => {});
      const ledger = await NonceLedger.open(${JSON.stringify(file)}, ${NOW});
      const burn = (entry) => ledger.burn(entry).catch((error) => error.name);
      const [one, two, three] = ${JSON.stringify([entry(), entry(), entry()])};
      const results = [await burn(one)];
      execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=140:']);
      results.push(...(await Promise.all([burn(two), burn(three)])));
      execFileSync('prlimit', ['--pid', String(process.pid), '--fsize=unlimited:']);
      results.push(await burn(three));
      console.log(JSON.stringify(results));`;
    const { stdout } = await promisify(execFile)(process.execPath, [
      '--input-type=module-typescript',
      '--eval',
      script,
    ]);
    expect(JSON.parse(stdout)).toEqual([true, 'LedgerError', 'LedgerError', 'LedgerError']);
  });

  it('does not write what is no entry', async () => {
    const ledger = await openLedger();
    await expect(ledger.burn(entry({ nonce: 'short' }))).rejects.toThrow(/nonce/);
    expect(await readFile(file, 'utf8')).toBe('');
    expect(await ledger.burn(entry())).toBe(true);
  });
});
