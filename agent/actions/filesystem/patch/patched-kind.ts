import type { FileHandle } from 'node:fs/promises';
import type { SavedBackup } from '../../../runner/action.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import type { BlockDevice } from '../../../target/block-device.ts';
import type { ByteRange } from '../byte-ranges.ts';
import type { NamedVolume } from '../named-volume.ts';
import type { Look, Sight } from '../sight.ts';
import type { Patch } from './patch.ts';

/** A kind of file system that is repaired by writing what is known beforehand. */
export interface PatchedKind {
  /** Writes nothing. */
  look(look: Look, device: BlockDevice): Promise<Sight>;
  /**
   * Finds what mends the fault that was seen: on a copy, or from what the file system keeps twice. Throws
   * ActionError where nothing here may mend it.
   */
  prepare(work: Work, sight: Sight): Promise<Cure>;
}

/** A device that is kept from everybody else meanwhile. */
export interface Work {
  volume: NamedVolume;
  device: BlockDevice;
  /** Open for reading, for writing too when a plan is carried out. */
  handle: FileHandle;
}

export interface Cure {
  /** `Repair the file system` */
  summary: string;
  /** What it rests on and what it would do, most important first; the same each time. */
  findings: string[];
  precondition: Plan['preconditions'][number];
  /** What was run, or would be; a copy is called `copy`. */
  commands: string[][];
  /** Whether a second check finds nothing; null where only the device itself can show it. */
  endsClean: boolean | null;
  /** What the check afterwards may see without the repair being put back; only a clean one when left out. */
  isMended?(after: Sight): boolean;
  means:
    | {
        type: 'patch';
        patch: Patch;
        /** A stretch in which each rehearsal writes something else; a plan tells it as a whole. */
        varying: ByteRange | null;
        /** What shows that somebody used a device that is too large to be digested whole. */
        watched: readonly ByteRange[];
        keepsake: Keepsake | null;
      }
    /** There is no room for a copy: the tool works on the device, and what it overwrites is not known. */
    | { type: 'direct'; run: () => Promise<void> };
  [Symbol.asyncDispose](): Promise<void>;
}

/** More than the undo needs, for people: saved with it. */
export interface Keepsake {
  what: string;
  bytes: number;
  save(folder: string, maxBytes: number): Promise<SavedBackup>;
}
