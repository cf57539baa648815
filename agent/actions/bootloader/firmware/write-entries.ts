import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ActionError, type ActionContext, type SavedBackup } from '../../../runner/action.ts';
import type { TargetLayout } from '../../../target/open-target.ts';
import { writeBackup } from '../../filesystem/durable-write.ts';
import { entryName, orderName, readOrder, writeOrder, type EntryChange } from './boot-entries.ts';
import { withFirmware, type FirmwareVariables } from './firmware-variables.ts';
import { readLoadOption } from './load-option.ts';

const RECORD = 'firmware.json';
/** Of the variables of the specification those that say what is started. */
const SAVED = /^(?:Boot[0-9A-F]{4}|BootOrder|BootNext|BootCurrent)$/;
const AGAIN =
  'To go on without its entries, make its variables read-only (mount -o remount,ro) and plan again';

const hex = z.string().regex(/^(?:[0-9a-f]{2})*$/);
const recordSchema = z.strictObject({
  version: z.literal(1),
  /** All of them as they were before anything was written. */
  variables: z.record(z.string(), hex),
  added: z.array(z.strictObject({ number: z.int().min(0).max(0xffff), entry: hex })),
  /** The order as the job wrote it. */
  order: hex,
});
export type EntryRecord = z.output<typeof recordSchema>;

type Layout = Pick<TargetLayout, 'mounts' | 'place'>;

/** Saves what the firmware starts, every entry with its bytes, and what is to come; nothing is changed. */
export async function saveEntries(
  layout: Layout,
  { added, order }: EntryChange,
  folder: string,
): Promise<SavedBackup> {
  const variables = await withFirmware(layout, { write: false }, (found, why) =>
    readSaved(required(found, why)),
  );
  const record: EntryRecord = {
    version: 1,
    variables: Object.fromEntries(variables),
    added: added.map(({ number, bytes }) => ({ number, entry: bytes.toString('hex') })),
    order: writeOrder(order).toString('hex'),
  };
  return writeBackup(join(folder, RECORD), JSON.stringify(record));
}

/** Adds what was saved, and reads it again: every other entry is the same. Throws ActionError `firmware_refused`. */
export async function addEntries(layout: Layout, folder: string): Promise<void> {
  const record = await readRecord(folder);
  if (record === null) return;
  await withFirmware(layout, { write: true }, (variables, why) =>
    addEntriesTo(required(variables, why), record),
  );
}

/**
 * Takes out what was added and gives the order back. May be cut off anywhere and begun again; where somebody
 * changed the order since, only what the job put into it goes. Of a job that saved none it does nothing.
 * Throws ActionError `firmware_unreachable`, `firmware_refused`.
 */
export async function takeBackEntries(
  context: Pick<ActionContext, 'note'>,
  layout: Layout,
  folder: string,
): Promise<void> {
  const record = await readRecord(folder);
  if (record === null) return;
  await withFirmware(layout, { write: true }, (variables, why) =>
    takeBackFrom(context, required(variables, why), record),
  );
}

/** Throws ActionError `firmware_unreachable` where a job wrote entries that nobody here can take out again. */
export async function requireFirmware(layout: Layout, folder: string): Promise<void> {
  if ((await readRecord(folder)) === null) return;
  await withFirmware(layout, { write: true }, async (variables, why) => {
    required(variables, why);
  });
}

/** As `addEntries`, for variables that are reached already. */
export async function addEntriesTo(
  variables: FirmwareVariables,
  { added, order, variables: before }: EntryRecord,
): Promise<void> {
  const wanted = new Map(Object.entries(before));
  for (const { number, entry } of added) wanted.set(entryName(number), entry);
  wanted.set(orderName, order);
  const inOrder = [...added.map(({ number }) => entryName(number)), orderName];
  // The order last: it never names an entry that is not there.
  for (const name of inOrder) {
    if (wanted.get(name) !== before[name]) await put(variables, name, wanted.get(name)!);
  }
  const now = await readSaved(variables);
  const differs = [...new Set([...wanted.keys(), ...now.keys()])].find(
    (name) => wanted.get(name) !== now.get(name),
  );
  if (differs === undefined) return;
  const what = `the firmware has ${differs} otherwise than it was to be`;
  throw new ActionError('firmware_refused', `${what}. ${AGAIN}`);
}

/** As `takeBackEntries`, for variables that are reached already. */
export async function takeBackFrom(
  { note }: Pick<ActionContext, 'note'>,
  variables: FirmwareVariables,
  { added, order: written, variables: before }: EntryRecord,
): Promise<void> {
  const now = await readSaved(variables);
  const own: string[] = [];
  const gone = new Set<number>();
  for (const { number, entry } of added) {
    const name = entryName(number);
    const found = now.get(name);
    if (found !== undefined && !isSame(found, entry)) {
      note(`${name} is another entry than the job added: it stays.`);
      continue;
    }
    // One that was there before was only put into the order.
    if (found !== undefined && before[name] === undefined) own.push(name);
    gone.add(number);
  }
  const [orderNow, orderBefore] = [now.get(orderName), before[orderName]];
  if (orderNow === written && gone.size === added.length) {
    if (orderBefore === undefined) await variables.remove(orderName);
    else if (orderBefore !== orderNow) await put(variables, orderName, orderBefore);
  } else if (orderNow !== undefined && orderNow !== orderBefore) {
    const numbers = readOrder(Buffer.from(orderNow, 'hex'));
    const left = writeOrder(numbers.filter((number) => !gone.has(number))).toString('hex');
    if (left === '') await variables.remove(orderName);
    else if (left !== orderNow) await put(variables, orderName, left);
  }
  for (const name of own) await variables.remove(name);
  const left = await readSaved(variables);
  const stays = own.find((name) => left.has(name));
  if (stays === undefined) return;
  throw new ActionError('firmware_refused', `the firmware has ${stays} still`);
}

/** Whether both start the same program: some firmware writes marks of its own into an entry. */
function isSame(found: string, added: string): boolean {
  if (found === added) return true;
  const [one, other] = [found, added].map((text) => readLoadOption(Buffer.from(text, 'hex')));
  const signature = one?.partition?.signature.bytes;
  if (one?.file == null || signature === undefined) return false;
  const isFrom = other?.partition?.signature.bytes.equals(signature) === true;
  return isFrom && one.file.toLowerCase() === other.file?.toLowerCase();
}

async function put(variables: FirmwareVariables, name: string, content: string): Promise<void> {
  try {
    await variables.write(name, Buffer.from(content, 'hex'));
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? (error as Error).message;
    const what = code === 'ENOSPC' ? 'its memory is full' : code;
    throw new ActionError(
      'firmware_refused',
      `the firmware does not take ${name}: ${what}. ${AGAIN}`,
    );
  }
}

async function readSaved(variables: FirmwareVariables): Promise<Map<string, string>> {
  const saved = new Map<string, string>();
  for (const name of (await variables.names()).toSorted()) {
    const content = SAVED.test(name) ? await variables.read(name) : null;
    if (content !== null) saved.set(name, content.toString('hex'));
  }
  return saved;
}

function required(variables: FirmwareVariables | null, why: string | null): FirmwareVariables {
  if (variables !== null) return variables;
  const next = 'start the rescue system by UEFI, with its variables writable, and try again';
  throw new ActionError(
    'firmware_unreachable',
    `the firmware cannot be written, since ${why}: ${next}`,
  );
}

async function readRecord(folder: string): Promise<EntryRecord | null> {
  if (!(await readdir(folder)).includes(RECORD)) return null;
  return recordSchema.parse(JSON.parse(await readFile(join(folder, RECORD), 'utf8')) as unknown);
}
