import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { hasFirmwareEntry } from './firmware-entries.ts';

const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const PARTITION = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93b';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'iv-efivars-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A load option: attributes, length, title, and the device path of a partition's file. */
function entry(name: string, guid: string): void {
  const title = Buffer.from('debian\0', 'utf16le');
  const drive = Buffer.alloc(42);
  drive.set([4, 1, 42, 0, 1, 0, 0, 0]);
  Buffer.from(guid, 'hex').copy(drive, 24);
  drive.set([2, 2], 40);
  const head = Buffer.from('07000000' + '01000000' + '3400', 'hex');
  writeFileSync(join(folder, `${name}-${GLOBAL}`), Buffer.concat([head, title, drive]));
}

describe('an entry of the firmware', () => {
  it('is known by the partition that it starts from', async () => {
    entry('Boot0001', '28732ac11ff8d211ba4b00a0c93ec93b');
    expect(await hasFirmwareEntry({ partitionUuid: PARTITION }, folder)).toBe(true);
    const other = 'c12a7328-f81f-11d2-ba4b-00a0c93ec93c';
    expect(await hasFirmwareEntry({ partitionUuid: other }, folder)).toBe(false);
  });

  it('is none where another variable names the partition, or nobody can ask the firmware', async () => {
    entry('BootCurrent', '28732ac11ff8d211ba4b00a0c93ec93b');
    expect(await hasFirmwareEntry({ partitionUuid: PARTITION }, folder)).toBe(false);
    expect(await hasFirmwareEntry({ partitionUuid: PARTITION }, '/nowhere')).toBe(false);
    expect(await hasFirmwareEntry({ partitionUuid: null }, folder)).toBe(false);
    expect(await hasFirmwareEntry({ partitionUuid: '5e5c0e01-01' }, folder)).toBe(false);
  });
});
