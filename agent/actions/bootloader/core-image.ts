import { CommandStartError } from '../../process/command-start-error.ts';
import type { ActionContext } from '../../runner/action.ts';

const SECTOR_BYTES = 512;
/** In the first sector: the list of the others, the first entry last (GRUB, diskboot.S). */
const LIST_AT = 0x1f4;
/** In the second sector: lengths of what is packed, and of the redundancy behind it (startup_raw.S). */
const PACKED_BYTES_AT = SECTOR_BYTES + 0x08;
const REDUNDANCY_AT = SECTOR_BYTES + 0x10;
const MAX_SECTORS = 2048;
/** An LZMA stream ends in few zeros, if any. */
const ZEROS_MAX = 4;

/** Bytes that have to be read before `packedModules` can be asked: all sectors that the first one lists. */
export function coreBytes(first: Buffer): number | null {
  const sectors = first.readUInt16LE(LIST_AT + 8);
  return sectors === 0 || sectors > MAX_SECTORS ? null : (sectors + 1) * SECTOR_BYTES;
}

/**
 * What may be packed into a core image of GRUB: kernel and modules, an LZMA stream without a header. With
 * redundancy behind it the image says where that ends; without, it ends before the zeros that fill up the
 * last sector, and may have zeros of its own.
 */
export function packedModules(core: Buffer): Buffer[] {
  const redundancy = core.readUInt32LE(REDUNDANCY_AT);
  const packed = core.readUInt32LE(PACKED_BYTES_AT);
  const ends: number[] = [];
  if (redundancy > 0) ends.push(core.length - redundancy);
  else {
    let last = core.length;
    while (last > 0 && core[last - 1] === 0) last--;
    for (let end = last; end <= Math.min(last + ZEROS_MAX, core.length); end++) ends.push(end);
  }
  return ends
    .filter((end) => packed > 0 && end - packed >= 2 * SECTOR_BYTES && core[end - packed] === 0)
    .map((end) => core.subarray(end - packed, end));
}

/**
 * Whether a module is in a core image; null where that cannot be told. Without the one for its partition
 * table GRUB ends at `grub rescue>`.
 */
export async function hasModule(
  context: Pick<ActionContext, 'run'>,
  core: Buffer,
  name: string,
): Promise<boolean | null> {
  const filter = '--lzma1=lc=3,lp=0,pb=2,dict=64KiB';
  try {
    for (const input of packedModules(core)) {
      // Its exit status says nothing: these streams have no end mark.
      const { out } = await context.run(
        ['xz', '--format=raw', filter, '--decompress', '--stdout', '--quiet'],
        { input, output: 'capture' },
      );
      if (!out.includes('\0normal\0') && !out.includes('biosdisk')) continue;
      return out.includes(`\0${name}\0`);
    }
    return null;
  } catch (error) {
    if (error instanceof CommandStartError) return null;
    throw error;
  }
}
