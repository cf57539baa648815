import { createHash } from 'node:crypto';
import { lstatSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { must, run } from '../harness/process.ts';
import type { FaultDisk } from './fault-disk.ts';
import { rolesOf } from './layouts.ts';
import type { MountedSystem } from './mounted-system.ts';

/**
 * All that a disk holds, by where it is: `/etc/fstab` for a file, with content, mode, owner, extended
 * attributes and flags; `esp:EFI/debian/grubx64.efi` on the ESP; `raw:boot-code` and the like for bytes
 * outside of file systems. Times are left out: a file that was put back is as old as that.
 */
export type DiskPicture = ReadonlyMap<string, string>;

const SECTOR_BYTES = 512;
const BOOT_CODE_BYTES = 440;
const GPT_SECTORS = 34;

/**
 * Digests of files that were read before, by disk, inode and time of the last change: whatever changes a
 * file through the kernel moves that time.
 */
const known = new WeakMap<FaultDisk, Map<string, string>>();

/** Needs file systems that can be mounted. Changes no byte of the disk. */
export async function pictureOf(disk: FaultDisk): Promise<DiskPicture> {
  const picture = new Map<string, string>(await rawRegions(disk));
  await disk.lookAsItIs(async (system) => {
    const digests = known.get(disk) ?? new Map<string, string>();
    known.set(disk, digests);
    for (const [file, what] of await filesBelow(system, digests)) picture.set(file, what);
  });
  if (rolesOf(disk.layout).includes('esp')) await addEsp(picture, disk);
  return picture;
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

async function rawRegions(disk: FaultDisk): Promise<[string, string][]> {
  const { size } = lstatSync(disk.image);
  const roles = rolesOf(disk.layout);
  const first = disk.partition(roles[0]!).offset;
  const tail = disk.layout.table === 'gpt' ? GPT_SECTORS * SECTOR_BYTES : SECTOR_BYTES;
  const regions: [name: string, offset: number, bytes: number][] = [
    ['boot-code', 0, BOOT_CODE_BYTES],
    ['table', BOOT_CODE_BYTES, GPT_SECTORS * SECTOR_BYTES - BOOT_CODE_BYTES],
    ['gap', GPT_SECTORS * SECTOR_BYTES, first - GPT_SECTORS * SECTOR_BYTES],
    ['end', size - tail, tail],
  ];
  for (const role of roles.filter((name) => name === 'bios-boot' || name === 'data')) {
    const part = disk.partition(role);
    regions.push([role, part.offset, part.size]);
  }
  const hashed = regions.map(async ([name, offset, bytes]): Promise<[string, string]> => [
    `raw:${name}`,
    digest(await disk.readBytes(offset, bytes)),
  ]);
  return Promise.all(hashed);
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
    return `${owner} ${content}`;
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
      picture.set(`esp:${file.slice(1)}`, what.replace(/^\S+ \S+/, ''));
    }
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
