import type { TargetFiles } from '../../../target/target-files.ts';
import { isEfiProgram } from './efi-program.ts';

const FILE_MAX_BYTES = 16 * 1024 * 1024;
const SIGNED = '/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed';
const UNSIGNED = '/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi';
const SHIM = '/usr/lib/shim';

/** A file of the loader: where the system's packages keep it, and its name on an EFI partition. */
export interface LoaderFile {
  source: string;
  name: string;
  bytes: Buffer;
}

/** What the packages of a system put on an EFI partition (grub-install of Debian and Ubuntu). */
export interface LoaderFiles {
  /** The folder below EFI that this GRUB looks for its stub in; it is built in. */
  vendor: string;
  /** What the firmware starts: shim, or GRUB itself where there is no shim. */
  first: LoaderFile;
  /** What lies beside it: GRUB, the manager of keys, and what makes the entry of the firmware anew. */
  beside: LoaderFile[];
  /** What names the entry that is made anew; null without shim. */
  entry: LoaderFile | null;
}

/** The signed files with shim where both are installed, else GRUB alone; null where there is neither. */
export async function findLoaderFiles(files: TargetFiles): Promise<LoaderFiles | null> {
  const grub = await loaderFile(files, SIGNED, 'grubx64.efi');
  const shim = await loaderFile(files, `${SHIM}/shimx64.efi.signed`, 'shimx64.efi');
  if (grub !== null && shim !== null) {
    const vendor = vendorOf(grub.bytes);
    if (vendor === null) return null;
    const more = [
      await loaderFile(files, `${SHIM}/mmx64.efi.signed`, 'mmx64.efi'),
      await loaderFile(files, `${SHIM}/fbx64.efi.signed`, 'fbx64.efi'),
    ].filter((file) => file !== null);
    const entry = await readFile(files, `${SHIM}/BOOTX64.CSV`, 'BOOTX64.CSV');
    return { vendor, first: shim, beside: [grub, ...more], entry };
  }
  const alone = await loaderFile(files, UNSIGNED, 'grubx64.efi');
  const vendor = alone === null ? null : vendorOf(alone.bytes);
  if (alone === null || vendor === null) return null;
  return { vendor, first: alone, beside: [], entry: null };
}

/** The path that a GRUB of these packages was built with. */
function vendorOf(grub: Buffer): string | null {
  return /\/EFI\/([a-z][a-z0-9-]{0,31})\0/.exec(grub.toString('latin1'))?.[1] ?? null;
}

async function loaderFile(
  files: TargetFiles,
  source: string,
  name: string,
): Promise<LoaderFile | null> {
  const file = await readFile(files, source, name);
  return file !== null && isEfiProgram(file.bytes) ? file : null;
}

async function readFile(
  files: TargetFiles,
  source: string,
  name: string,
): Promise<LoaderFile | null> {
  const bytes = await files.readBytes(source, FILE_MAX_BYTES).catch(() => null);
  return bytes === null ? null : { source, name, bytes };
}
