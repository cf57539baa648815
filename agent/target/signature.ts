import { ActionError, type ActionContext } from '../runner/action.ts';
import type { BlockDevice } from './block-device.ts';

/** What a device says it is. */
export interface Signature {
  /** As blkid(8) names it: `ext4`, `xfs`, `crypto_LUKS`, `LVM2_member`, …; null for none. */
  type: string | null;
  /** `dos`, `gpt`, … when it begins with a partition table. */
  partitionTable: string | null;
  uuid: string | null;
}

/**
 * Looks for signatures on the device itself, never in a cache. Throws ActionError
 * `ambiguous_signatures` when there are several: nobody should write then.
 */
export async function probeSignature(
  context: Pick<ActionContext, 'run' | 'signal'>,
  device: BlockDevice,
): Promise<Signature> {
  const found = await context.run(['blkid', '-p', '-o', 'export', device.path], {
    output: 'capture',
    signal: context.signal,
  });
  if (found.exitStatus === 8) {
    throw new ActionError(
      'ambiguous_signatures',
      `${device.path} carries the signatures of more than one file system or container`,
    );
  }
  // 2: nothing was found, which for a damaged file system is an answer.
  if (found.exitStatus !== 0 && found.exitStatus !== 2) {
    throw new ActionError('probe_failed', `blkid could not read ${device.path}: ${found.err}`);
  }
  const fields = new Map(
    found.out.split('\n').map((line): [string, string] => {
      const at = line.indexOf('=');
      return [line.slice(0, at), line.slice(at + 1)];
    }),
  );
  return {
    type: fields.get('TYPE') ?? null,
    partitionTable: fields.get('PTTYPE') ?? null,
    uuid: fields.get('UUID') ?? null,
  };
}
