import { ActionError } from '../../../runner/action.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import { openDevice, readDevice, syncDevice, writeDevice } from '../device-io.ts';

const SECTOR_BYTES = 512;
const OEM_ID = 'NTFS    ';

/**
 * Writes the first sector of an NTFS volume anew from its copy in the last one, and nothing else: ntfsfix(8)
 * would also empty the journal. Throws ActionError `no_copy` when that is no boot sector of this volume.
 */
export async function restoreBootSector(device: BlockDevice): Promise<void> {
  const handle = await openDevice(device, 'write');
  try {
    const last = Math.floor(device.bytes / SECTOR_BYTES) - 1;
    const sector = Buffer.alloc(SECTOR_BYTES);
    const copy = await readDevice(handle, sector, last * SECTOR_BYTES, SECTOR_BYTES);
    // It counts its sectors without the one that the copy lies in.
    const isOwn =
      copy.toString('latin1', 3, 11) === OEM_ID &&
      copy.readUInt16LE(510) === 0xaa55 &&
      copy.readUInt16LE(11) === SECTOR_BYTES &&
      copy.readBigUInt64LE(40) === BigInt(last);
    if (!isOwn) {
      throw new ActionError('no_copy', `the last sector of ${device.path} is no copy of its first`);
    }
    await writeDevice(handle, copy, 0);
    await syncDevice(handle);
  } finally {
    await handle.close();
  }
}
