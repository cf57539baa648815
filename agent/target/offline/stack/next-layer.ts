import type { Volume } from '../volumes.ts';

export type LayerKind = 'raid' | 'luks' | 'lvm';

/** Volumes of one kind that hold others and are not opened yet. */
export interface Layer {
  kind: LayerKind;
  volumes: Volume[];
}

/** By the type that blkid(8) tells; in the order in which they are opened. */
const KINDS: Readonly<Record<string, LayerKind>> = {
  linux_raid_member: 'raid',
  crypto_LUKS: 'luks',
  LVM2_member: 'lvm',
};

/**
 * What is opened next. A group of LVM comes last: it may lie on several volumes, and some of them may still be
 * inside what is closed. Null when nothing is left.
 */
export function nextLayer(volumes: readonly Volume[], done: ReadonlySet<Volume>): Layer | null {
  for (const kind of Object.values(KINDS)) {
    const of = volumes.filter((one) => KINDS[one.type ?? ''] === kind && !done.has(one));
    if (of.length > 0) return { kind, volumes: of };
  }
  return null;
}
