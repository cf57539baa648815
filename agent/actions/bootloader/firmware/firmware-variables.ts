import { constants } from 'node:fs';
import { open, readdir, stat, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError } from '../../../runner/action.ts';
import { readMounts } from '../../../target/mount-table.ts';
import type { OpenDisks } from '../../../target/offline/open-disks.ts';

/** Only a kernel that was started by UEFI has it. */
const FIRMWARE = '/sys/firmware/efi';
/** Of the variables that the UEFI Specification names itself. */
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
/** Non-volatile, and readable before and after the start of a system. */
const ATTRIBUTES = Buffer.from([7, 0, 0, 0]);
/** No entry is longer on any machine; what is there is the firmware's own. */
const MAX_BYTES = 64 * 1024;
const { O_CREAT, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants;

/** The variables of a firmware that say what it starts, by their names: `BootOrder`, `Boot0001`. */
export interface FirmwareVariables {
  names(): Promise<string[]>;
  /** Its content; null where there is none of that name. */
  read(name: string): Promise<Buffer | null>;
  /** Whole or not at all: the firmware takes it in one call. */
  write(name: string, content: Buffer): Promise<void>;
  /** Of one that is not there it does nothing. */
  remove(name: string): Promise<void>;
}

/** As the kernel shows them: a file each, with four bytes of attributes before its content (efivarfs). */
export function variablesIn(folder: string): FirmwareVariables {
  const pathOf = (name: string) => join(folder, `${name}-${GLOBAL}`);
  return {
    async names() {
      const end = `-${GLOBAL}`;
      const names = await readdir(folder);
      return names.filter((name) => name.endsWith(end)).map((name) => name.slice(0, -end.length));
    },
    async read(name) {
      const bytes = await readWhole(pathOf(name));
      return bytes === null || bytes.length < ATTRIBUTES.length
        ? null
        : bytes.subarray(ATTRIBUTES.length);
    },
    async write(name, content) {
      const file = await open(pathOf(name), O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644);
      try {
        // In one call: every write(2) is the whole of a variable.
        const bytes = Buffer.concat([ATTRIBUTES, content]);
        const { bytesWritten } = await file.write(bytes, 0, bytes.length, 0);
        if (bytesWritten !== bytes.length) throw new Error(`${name} was cut off`);
      } finally {
        await file.close();
      }
    },
    async remove(name) {
      await unlink(pathOf(name)).catch(ignoreMissing);
    },
  };
}

/**
 * The firmware of this machine for as long as `body` runs, or why nobody here can reach it, in words that go on
 * from "since". To look, the kernel's own place is used; to write, one that is this job's alone, since all that
 * its sandbox shows is read-only. A file system that somebody made read-only is never written.
 */
export async function withFirmware<T>(
  { mounts, place }: Pick<OpenDisks, 'mounts' | 'place'>,
  { write }: { write: boolean },
  body: (variables: FirmwareVariables | null, why: string | null) => Promise<T>,
): Promise<T> {
  const isThere = await stat(FIRMWARE).catch(() => null);
  if (isThere === null) return body(null, 'this machine was not started by UEFI');
  const shown = (await readMounts()).findLast(({ type }) => type === 'efivarfs');
  const readOnly = shown?.options.has('ro') === true ? 'its variables are mounted read-only' : null;
  if (shown !== undefined && !write) return body(variablesIn(shown.mountPoint), readOnly);
  if (readOnly !== null) return body(null, readOnly);
  const point = join(place, 'efivars');
  try {
    await mounts.mountFirmware(point, { write });
  } catch (error) {
    if (!(error instanceof ActionError)) throw error;
    return body(null, 'its variables cannot be mounted here');
  }
  try {
    return await body(variablesIn(point), null);
  } finally {
    await mounts.unmount(point);
  }
}

/** Null where there is no such file. */
async function readWhole(path: string): Promise<Buffer | null> {
  const file = await open(path, O_RDONLY | O_NOFOLLOW).catch(ignoreMissing);
  if (file === undefined) return null;
  try {
    const buffer = Buffer.alloc(MAX_BYTES);
    // In one call as well: the content may be another at the next.
    const { bytesRead } = await file.read(buffer, 0, MAX_BYTES, 0);
    return buffer.subarray(0, bytesRead);
  } finally {
    await file.close();
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): undefined {
  if (error.code !== 'ENOENT') throw error;
}
