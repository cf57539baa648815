import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { sha256 } from '../testing/image-bytes.ts';

const program = join(import.meta.dirname, '../testing/repair-one.ts');
const FIRST_TABLE = 32 * 512;
const MOST_CALLS = 60;
const MARKS = [40, 6_000, 12_000, 20_000];

let folder: string;
let device: string;
let broken: string;
let before: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ivk-'));
  device = join(folder, 'disk');
  broken = join(folder, 'broken');
  execFileSync('mkfs.fat', ['-C', '-F', '32', '-s', '1', broken, String(40 * 1024)]);
  for (let n = 0; n < 8; n++) {
    const file = join(folder, `file-${n}`);
    writeFileSync(file, Buffer.alloc(700_000, n + 1));
    execFileSync('mcopy', ['-i', broken, file, `::/FILE${n}.BIN`]);
  }
  await using image = await open(broken, 'r+');
  for (const at of MARKS) await image.write(Buffer.alloc(60, 0xee), 0, 60, FIRST_TABLE + at);
  before = await sha256(broken);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

type What = 'apply' | 'undo';

function begin(): string {
  copyFileSync(broken, device);
  const place = join(folder, 'work');
  rmSync(place, { recursive: true, force: true });
  mkdirSync(place);
  return place;
}

/** Kills (kill -9) before the nth call that reaches the device, or any file; whether it came to that. */
function runKilled(place: string, what: What, call: string, nth: number, isOfDevice: boolean) {
  const inject = `inject=${call}:signal=SIGKILL:when=${nth}`;
  const only = isOfDevice ? ['-P', device] : [];
  const words = [...only, '-e', `trace=${call}`, '-e', inject, process.execPath, program];
  const done = spawnSync(
    'strace',
    ['-f', '-qqq', '-o', '/dev/null', ...words, place, device, what],
    // One thread for files, so that its calls are counted together.
    { env: { ...process.env, UV_THREADPOOL_SIZE: '1' }, encoding: 'utf8' },
  );
  if (done.error !== undefined) throw done.error;
  if (done.signal !== 'SIGKILL' && done.status !== 0) throw new Error(`${what}: ${done.stderr}`);
  return done.signal === 'SIGKILL';
}

function undo(place: string): void {
  execFileSync(process.execPath, [program, place, device, 'undo'], { stdio: 'pipe' });
}

/** Every sector is one of the damaged file system, or one of the repaired. */
async function expectOldOrNew(repaired: Buffer): Promise<void> {
  await using old = await open(broken);
  await using now = await open(device);
  const [first, second] = [await old.readFile(), await now.readFile()];
  for (let at = 0; at < second.length; at += 512) {
    const sector = second.subarray(at, at + 512);
    const isKnown =
      sector.equals(first.subarray(at, at + 512)) || sector.equals(repaired.subarray(at, at + 512));
    if (!isKnown) expect.fail(`the sector at ${at} is neither old nor new`);
  }
}

async function repairWhole(): Promise<Buffer> {
  const place = begin();
  execFileSync(process.execPath, [program, place, device, 'apply'], { stdio: 'pipe' });
  await using image = await open(device);
  return image.readFile();
}

/** Returns how often it was killed. */
async function killAtEach(
  what: What,
  call: string,
  isOfDevice: boolean,
  repaired: Buffer,
): Promise<number> {
  for (let nth = 1; nth <= MOST_CALLS; nth++) {
    const place = begin();
    if (what === 'undo') {
      execFileSync(process.execPath, [program, place, device, 'apply'], { stdio: 'pipe' });
    }
    const wasKilled = runKilled(place, what, call, nth, isOfDevice);
    await expectOldOrNew(repaired);
    undo(place);
    expect(await sha256(device)).toBe(before);
    if (!wasKilled) return nth - 1;
  }
  throw new Error('it was killed every time');
}

describe('a repair by patch that is killed', { timeout: 600_000 }, () => {
  it('between two writes leaves each sector old or new, and is undone to the byte, also by a second undo', async () => {
    const repaired = await repairWhole();
    const place = begin();
    expect(runKilled(place, 'apply', 'pwrite64', 3, true)).toBe(true);
    await expectOldOrNew(repaired);
    expect(await sha256(device)).not.toBe(before);
    expect(runKilled(place, 'undo', 'pwrite64', 2, true)).toBe(true);
    await expectOldOrNew(repaired);
    undo(place);
    expect(await sha256(device)).toBe(before);
  });

  it.runIf(isWhole).each([
    ['apply', 'pwrite64', true, MARKS.length],
    ['apply', 'fsync', false, 4],
    ['undo', 'pwrite64', true, MARKS.length],
    ['undo', 'fsync', true, 1],
  ] as const)(
    'in %s before any %s is undone to the byte',
    async (what, call, isOfDevice, atLeast) => {
      const kills = await killAtEach(what, call, isOfDevice, await repairWhole());
      expect(kills).toBeGreaterThanOrEqual(atLeast);
    },
  );
});
