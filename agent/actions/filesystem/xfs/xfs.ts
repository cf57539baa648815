import type { BlockDevice } from '../../../target/block-device.ts';
import { openDevice } from '../device-io.ts';
import type { PatchedKind } from '../patch/patched-kind.ts';
import type { Look, Sight } from '../sight.ts';
import { judgeXfs } from './judge-xfs.ts';
import { prepareXfs } from './prepare-xfs.ts';
import { findXfsSuperblock } from './xfs-superblock.ts';

export const xfs: PatchedKind = { look: lookAtXfs, prepare: prepareXfs };

async function lookAtXfs(look: Look, device: BlockDevice): Promise<Sight> {
  const uuid = await readUuid(device);
  return judgeXfs(await look(['xfs_repair', '-n', device.path]), uuid);
}

async function readUuid(device: BlockDevice): Promise<string | null> {
  await using handle = await openDevice(device, 'read');
  return (await findXfsSuperblock(handle, device.bytes))?.superblock.uuid ?? null;
}
