import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runAgentGuest, type Told } from '../agent-guest/agent-guest.ts';

const WITHIN_MS = 75 * 60_000;
/** Of the blank disks /dev/vdb, /dev/vdc, …, in MiB. */
const DISKS = [160, 160, 64, 64, 128, 128];

/** Runs `inside.ts` in a machine whose kernel has RAID, LVM and dm-crypt, on blank disks. */
export async function runStorageGuest(): Promise<Told[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-storage-'));
  try {
    return await runAgentGuest({
      program: 'test/lab/storage-guest/inside.ts',
      firmware: 'bios',
      modules: ['loop', 'dm_mod', 'dm_crypt', 'raid1'],
      disks: DISKS.map((mebibytes, at) => blank(folder, at, mebibytes)),
      withinMs: WITHIN_MS,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** A blank disk of a guest. */
export function blank(folder: string, at: number, mebibytes: number): string {
  const file = path.join(folder, `disk-${at}.img`);
  writeFileSync(file, '');
  truncateSync(file, mebibytes * 1024 ** 2);
  return file;
}
