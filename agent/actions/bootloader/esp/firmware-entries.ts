import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Volume } from '../../../target/offline/volumes.ts';

/** Where a kernel that was started by UEFI shows the firmware's variables (efivarfs). */
const FOLDER = '/sys/firmware/efi/efivars';
const GLOBAL = '8be4df61-93ca-11d2-aa0d-00e098032b8c';
const ENTRY = new RegExp(`^Boot[0-9A-F]{4}-${GLOBAL}$`);

/**
 * Whether the firmware of this machine has an entry for a program on a partition; false also where this
 * machine was not started by UEFI, so that nobody here can ask the firmware.
 */
export async function hasFirmwareEntry(
  { partitionUuid }: Pick<Volume, 'partitionUuid'>,
  folder = FOLDER,
): Promise<boolean> {
  const wanted = partitionUuid === null ? null : mixedEndian(partitionUuid);
  if (wanted === null) return false;
  const names = await readdir(folder).catch((): string[] => []);
  for (const name of names.filter((one) => ENTRY.test(one))) {
    const entry = await readFile(join(folder, name)).catch(() => null);
    if (entry?.includes(wanted) === true) return true;
  }
  return false;
}

/** As a device path names a partition (UEFI Specification 2.10, appendix A). Null for an MBR's number. */
function mixedEndian(guid: string): Buffer | null {
  const hex = guid.replaceAll('-', '');
  if (!/^[0-9a-fA-F]{32}$/.test(hex)) return null;
  const bytes = Buffer.from(hex, 'hex');
  bytes.subarray(0, 4).reverse();
  bytes.subarray(4, 6).reverse();
  bytes.subarray(6, 8).reverse();
  return bytes;
}
