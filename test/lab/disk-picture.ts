import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { must, run } from '../harness/process.ts';
import type { FaultDisk } from './fault-disk.ts';
import { rangeDigest } from './image-digest.ts';
import { rolesOf } from './layouts.ts';
import type { Layout, Role } from './layouts.ts';
import type { MountedSystem } from './mounted-system.ts';

/**
 * All that a disk holds, by where it is: `/etc/fstab` for a file, with content, mode, owner, number of
 * links, extended attributes and flags; `esp:EFI/debian/grubx64.efi` on the ESP; `raw:boot-code` and the like
 * for bytes outside of file systems. Times are left out: a file that was put back is as old as that.
 */
export type DiskPicture = ReadonlyMap<string, string>;

const SECTOR_BYTES = 512;
const BOOT_CODE_BYTES = 440;
const GPT_SECTORS = 34;
/** Partitions that are looked at file by file. */
const MOUNTED: readonly Role[] = ['root', 'boot', 'esp'];

/**
 * Digests of files that were read before, by layout, inode and time of the last change: whatever changes a
 * file through the kernel moves that time, and a copy of a golden image begins with all of them alike.
 */
const known = new Map<Layout, Map<string, string>>();

export interface Look {
  /** Reads every file anew: something has written beside the kernel's file system. */
  afresh?: boolean;
}

/** Needs file systems that can be mounted. Changes no byte of the disk. */
export async function pictureOf(
  disk: FaultDisk,
  { afresh = false }: Look = {},
): Promise<DiskPicture> {
  const outside = regionsOf(disk).filter(({ role }) => role === null || !MOUNTED.includes(role));
  const picture = new Map<string, string>(await digestsOf(disk, outside));
  const seen = known.get(disk.layout) ?? new Map<string, string>();
  known.set(disk.layout, seen);
  await disk.lookAsItIs(async (system) => {
    const files = await filesBelow(system, afresh ? new Map<string, string>() : seen);
    for (const [file, what] of files) picture.set(file, what);
  });
  if (rolesOf(disk.layout).includes('esp')) await addEsp(picture, disk);
  return picture;
}

/** Every byte of a disk, by the region that holds it: `raw:root` for a partition and the like. */
export async function bytesOf(disk: FaultDisk): Promise<DiskPicture> {
  return new Map(await digestsOf(disk, regionsOf(disk)));
}

/** Places that differ, in order. */
export function differences(one: DiskPicture, other: DiskPicture): string[] {
  const places = new Set([...one.keys(), ...other.keys()]);
  return [...places].filter((place) => one.get(place) !== other.get(place)).toSorted();
}

/** Places of `now` that are as in none of the others. */
export function strangers(now: DiskPicture, ...known: readonly DiskPicture[]): string[] {
  const places = new Set([now, ...known].flatMap((picture) => [...picture.keys()]));
  const isKnown = (place: string) => known.some((picture) => picture.get(place) === now.get(place));
  return [...places].filter((place) => !isKnown(place)).toSorted();
}

interface Region {
  name: string;
  offset: number;
  bytes: number;
  /** The partition that it is, if it is one. */
  role: Role | null;
}

/** The whole disk, cut where its partitions and its tables begin and end. */
function regionsOf(disk: FaultDisk): Region[] {
  const { size } = lstatSync(disk.image);
  const tail = disk.layout.table === 'gpt' ? (GPT_SECTORS - 1) * SECTOR_BYTES : 0;
  const regions: Region[] = [
    { name: 'boot-code', offset: 0, bytes: BOOT_CODE_BYTES, role: null },
    {
      name: 'table',
      offset: BOOT_CODE_BYTES,
      bytes: GPT_SECTORS * SECTOR_BYTES - BOOT_CODE_BYTES,
      role: null,
    },
  ];
  const end = () => regions.at(-1)!.offset + regions.at(-1)!.bytes;
  const fill = (name: string, to: number) =>
    regions.push({ name, offset: end(), bytes: to - end(), role: null });
  let gap = 'gap';
  for (const role of rolesOf(disk.layout)) {
    const { offset, size: bytes } = disk.partition(role);
    fill(gap, offset);
    regions.push({ name: role, offset, bytes, role });
    gap = `behind-${role}`;
  }
  fill(gap, size - tail);
  fill('end', size);
  return regions;
}

async function digestsOf(disk: FaultDisk, regions: readonly Region[]): Promise<[string, string][]> {
  const digested: [string, string][] = [];
  for (const { name, offset, bytes } of regions) {
    digested.push([`raw:${name}`, await rangeDigest(disk.image, offset, bytes)]);
  }
  return digested;
}

async function filesBelow(
  system: MountedSystem,
  digests: Map<string, string>,
): Promise<Map<string, string>> {
  const files = new Map<string, string>();
  walk(system.root, '', files, digests);
  const attributes = [
    'getfattr',
    '-R',
    '-h',
    '-d',
    '-m',
    '-',
    '-e',
    'hex',
    '--absolute-names',
    'R',
  ];
  const listed = await system.hostOk(attributes);
  for (const block of listed.split('\n\n').filter(Boolean)) {
    const [head = '', ...lines] = block.trim().split('\n');
    const file = head.replace(/^# file: \/tmp\/[^/]+/, '') || '/';
    files.set(file, `${files.get(file)} ${lines.toSorted().join(' ')}`);
  }
  const flags = await system.host(['lsattr', '-R', '-a', 'R']);
  for (const line of flags.stdout.split('\n')) {
    const [, set, name] = /^(\S+) \/tmp\/[^/]+(\/.*)$/.exec(line) ?? [];
    // Immutable and append only; the others say how the file system stores it.
    const kept = set?.replaceAll(/[^ai]/g, '') ?? '';
    if (kept !== '') files.set(name!, `${files.get(name!)} ${kept}`);
  }
  return files;
}

function walk(
  root: string,
  folder: string,
  files: Map<string, string>,
  digests: Map<string, string>,
): void {
  const here = path.join(root, folder);
  files.set(folder || '/', describe(here, digests));
  for (const entry of readdirSync(here, { withFileTypes: true })) {
    const place = `${folder}/${entry.name}`;
    if (entry.isDirectory()) walk(root, place, files, digests);
    else files.set(place, describe(path.join(root, place), digests));
  }
}

function describe(file: string, digests: Map<string, string>): string {
  const stats = lstatSync(file, { bigint: true });
  const owner = `${stats.mode.toString(8)} ${stats.uid}:${stats.gid}`;
  if (stats.isFile()) {
    const key = `${stats.ino} ${stats.ctimeNs} ${stats.size}`;
    const content = digests.get(key) ?? digest(readFileSync(file));
    digests.set(key, content);
    return `${owner} ${stats.nlink} ${content}`;
  }
  if (stats.isSymbolicLink()) return `${owner} ${readlinkSync(file)}`;
  return `${owner} ${stats.rdev}`;
}

async function addEsp(picture: Map<string, string>, disk: FaultDisk): Promise<void> {
  const copy = mkdtempSync(path.join(tmpdir(), 'iv-esp-'));
  try {
    const image = `${disk.image}@@${disk.partition('esp').offset}`;
    const done = await run(['mcopy', '-s', '-n', '-Q', '-i', image, '::/*', copy]);
    if (done.status !== 0) await must(['mdir', '-i', image, '::/']);
    const files = new Map<string, string>();
    walk(copy, '', files, new Map());
    for (const [file, what] of files) {
      // Modes and owners are those of the copy.
      picture.set(`esp:${file.slice(1)}`, what.replace(/^\S+ \S+ /, ''));
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
