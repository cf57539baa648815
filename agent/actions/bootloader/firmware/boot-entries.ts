import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { sysfsFolder } from '../../../target/block-device.ts';
import type { OpenDisks } from '../../../target/offline/open-disks.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import { withFirmware, type FirmwareVariables } from './firmware-variables.ts';
import {
  partitionSignature,
  readLoadOption,
  writeLoadOption,
  type LoadOption,
} from './load-option.ts';

const ORDER = 'BootOrder';
const ENTRY = /^Boot([0-9A-F]{4})$/;
const SECTOR_BYTES = 512;

/** What a firmware starts: its entries by their numbers, and which of them it tries, in this order. */
export interface BootEntries {
  entries: ReadonlyMap<number, BootEntry>;
  order: readonly number[];
}

export interface BootEntry {
  bytes: Buffer;
  /** Null for one that this code cannot read. */
  option: LoadOption | null;
}

/** What can be known of the firmware that a job's disks are started by. */
export interface Firmware {
  /** Null where nobody here can ask it. */
  boot: BootEntries | null;
  /** Why no entry can be added, in words that go on from "since"; null where one can. */
  why: string | null;
}

/** An entry that a firmware is to get for a program. */
export interface EntryWish {
  volume: Volume;
  label: string;
  /** Below the root of the partition: `EFI/debian/shimx64.efi`. */
  file: string;
}

/** An entry as it is to become, and where. */
export interface NewEntry extends EntryWish {
  number: number;
  bytes: Buffer;
}

/** Entries that are to be added, and the order that they are tried in with all others. */
export interface EntryChange {
  added: readonly NewEntry[];
  order: readonly number[];
}

export const entryName = (number: number) => `Boot${hexadecimal(number)}`;
export const hexadecimal = (number: number) => number.toString(16).toUpperCase().padStart(4, '0');
export const orderName = ORDER;

/** Looks at the firmware of this machine; changes nothing. */
export function lookAtFirmware(disks: Pick<OpenDisks, 'mounts' | 'place'>): Promise<Firmware> {
  return withFirmware(disks, { write: false }, async (variables, why) => {
    if (variables === null) return { boot: null, why };
    try {
      return { boot: await readEntries(variables), why };
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'an error';
      return { boot: null, why: `its variables cannot be read (${code})` };
    }
  });
}

export async function readEntries(variables: FirmwareVariables): Promise<BootEntries> {
  const entries = new Map<number, BootEntry>();
  for (const name of (await variables.names()).toSorted()) {
    const [, number] = ENTRY.exec(name) ?? [];
    const bytes = number === undefined ? null : await variables.read(name);
    if (bytes === null) continue;
    entries.set(Number.parseInt(number!, 16), { bytes, option: readLoadOption(bytes) });
  }
  return { entries, order: readOrder(await variables.read(ORDER)) };
}

export function readOrder(content: Buffer | null): number[] {
  const numbers: number[] = [];
  for (let at = 0; content !== null && at + 2 <= content.length; at += 2) {
    numbers.push(content.readUInt16LE(at));
  }
  return numbers;
}

export function writeOrder(order: readonly number[]): Buffer {
  const content = Buffer.alloc(2 * order.length);
  for (const [at, number] of order.entries()) content.writeUInt16LE(number, 2 * at);
  return content;
}

/**
 * Why the firmware of this machine has no use for an entry of a partition, in words that go on from "since":
 * only of a disk that it sees itself. Null where it has one.
 */
export async function whyNoEntry(
  { disks }: Pick<OpenDisks, 'disks'>,
  { disk, partition, layers, partitionUuid }: Volume,
): Promise<string | null> {
  const number = disks.find(({ given }) => given === disk)?.device.number ?? null;
  const isPlain = partition !== null && layers.length === 0;
  if (number === null || !isPlain || partitionSignature(partitionUuid) === null) {
    return 'the EFI partition lies on no disk of this machine';
  }
  // Loop devices, RAID and the disks of a network's block devices have none.
  const hardware = await stat(join(sysfsFolder(number), 'device')).catch(() => null);
  return hardware === null ? 'the EFI partition lies on no disk of this machine' : null;
}

/** The files on a partition that active entries start which the firmware tries, lower case, as `efi/debian/x`. */
export function filesStarted({ entries, order }: BootEntries, volume: Volume): Set<string> {
  const tried = order.flatMap((number) => entries.get(number)?.option ?? []);
  return new Set(
    tried.flatMap((option) =>
      option.isActive && startsFrom(option, volume) && !startsAnother(option)
        ? [plainPath(option.file ?? '')]
        : [],
    ),
  );
}

/**
 * The change that makes a firmware start these programs. An entry that is there and not tried is taken as it
 * is. A new one goes to the place of one for the same system that starts nothing any more, else to the front,
 * behind what starts from the network there: a rescue system comes that way.
 */
export async function planEntries(
  disks: Pick<OpenDisks, 'disks' | 'volumes'>,
  { entries, order: before }: BootEntries,
  wishes: readonly EntryWish[],
): Promise<EntryChange> {
  const added: NewEntry[] = [];
  let order = before;
  const taken = new Set(entries.keys());
  for (const wish of wishes) {
    const own = [...entries].find(([, { option }]) => isFor(option, wish));
    const number = own?.[0] ?? firstFree(taken);
    taken.add(number);
    const bytes = own?.[1].bytes ?? (await entryFor(disks, wish));
    added.push({ ...wish, number, bytes });
    const last = added.at(-2);
    const place =
      last === undefined ? placeFor(disks, wish, order, entries) : order.indexOf(last.number) + 1;
    order = order.toSpliced(place, 0, number);
  }
  return { added, order };
}

/** Whether an entry starts a program, from its own partition. */
function isFor(option: LoadOption | null, { volume, file }: EntryWish): boolean {
  return (
    option?.isActive === true &&
    startsFrom(option, volume) &&
    !startsAnother(option) &&
    plainPath(option.file ?? '') === file.toLowerCase()
  );
}

/** shim may be told to start another program than GRUB, such as the updater of a firmware. */
function startsAnother({ data }: LoadOption): boolean {
  const text = data.toString('utf16le').toLowerCase();
  return text.includes('.efi') && !text.includes('grub');
}

function startsFrom({ partition }: LoadOption, volume: Volume): boolean {
  const wanted = partitionSignature(volume.partitionUuid);
  if (wanted === null || partition?.signature.bytes.equals(wanted.bytes) !== true) return false;
  // All partitions of an MBR have the signature of their disk.
  return wanted.table === 'gpt' || partition.number === volume.partition;
}

const plainPath = (file: string) => file.replaceAll('\\', '/').replace(/^\/+/, '').toLowerCase();

function placeFor(
  { volumes }: Pick<OpenDisks, 'volumes'>,
  { volume, file }: EntryWish,
  order: readonly number[],
  entries: BootEntries['entries'],
): number {
  const optionAt = (number: number) => entries.get(number)?.option ?? null;
  const folder = file.replace(/[^/]*$/, '').toLowerCase();
  const alike = order.findIndex((number) => {
    const started = optionAt(number)?.file ?? null;
    return started !== null && plainPath(started).startsWith(folder);
  });
  if (alike >= 0) {
    const option = optionAt(order[alike]!)!;
    const others = volumes.filter((one) => one !== volume);
    // That of the other disk of a mirror goes before.
    return others.some((one) => startsFrom(option, one)) ? alike + 1 : alike;
  }
  const place = order.findIndex((number) => {
    const option = optionAt(number);
    return option === null || !(option.isNetwork || option.isApplication);
  });
  return place < 0 ? order.length : place;
}

function firstFree(taken: ReadonlySet<number>): number {
  let number = 0;
  while (taken.has(number)) number++;
  return number;
}

async function entryFor(
  disks: Pick<OpenDisks, 'disks'>,
  { volume, label, file }: EntryWish,
): Promise<Buffer> {
  const sector = await sectorBytes(disks, volume);
  const partition = {
    number: volume.partition!,
    start: volume.startBytes / sector,
    sectors: volume.bytes / sector,
    signature: partitionSignature(volume.partitionUuid)!,
  };
  return writeLoadOption(label, partition, `\\${file.replaceAll('/', '\\')}`);
}

/** As the firmware counts on this disk. */
async function sectorBytes({ disks }: Pick<OpenDisks, 'disks'>, { disk }: Volume): Promise<number> {
  const number = disks.find(({ given }) => given === disk)?.device.number ?? null;
  if (number === null) return SECTOR_BYTES;
  const path = join(sysfsFolder(number), 'queue/logical_block_size');
  return Number(await readFile(path, 'utf8').catch(() => SECTOR_BYTES));
}
