import type { JsonValue } from '../../../proto/documents/fields.ts';
import type { FaultDisk } from '../fault-disk.ts';
import type { LayoutName } from '../layouts.ts';

/** What a repair gave back besides the repaired disk. */
export interface Repaired {
  /** The password that the server made, opened with the client's key. */
  password: string;
}

interface Named {
  /** As in the catalogue of faults: a letter for the area and a number. */
  id: string;
  title: string;
}

interface OnDisk extends Named {
  disk: LayoutName;
  inject: (disk: FaultDisk) => Promise<void>;
  /** Throws while the fault is there; by the tool that people would look with. */
  check: (disk: FaultDisk, repaired: Repaired) => Promise<void>;
}

/** Found on the disk by a diagnosis, repaired by an action, taken back again. */
export interface RepairedFault extends OnDisk {
  proof: 'repair';
  /** The rule that names it; null where only the client can tell, as with a password that was forgotten. */
  finding: string | null;
  action: string;
  /** What a finding cannot know and the client says, such as an address. */
  parameters?: Record<string, JsonValue>;
  /** It writes something new each time: a password, a key. */
  makesNew?: true;
  /**
   * What the undo gives back: every file and all that lies outside of file systems, or every byte of the
   * disk, as it must where a file system is repaired; or nothing can be undone.
   */
  undo: 'files' | 'bytes' | 'none';
  /**
   * Places that the fault itself has changed or destroyed for good, with all below them; after a repair of a
   * file system everything else is as it was before the fault.
   */
  loses?: readonly string[];
  /** Booted in QEMU after the repair, where there is time. */
  boots?: true;
}

/** Found, told, and left alone: a repair would destroy what is left, or it is not the engineer's to decide. */
export interface ReportedFault extends OnDisk {
  proof: 'report';
  finding: string;
  action?: never;
}

/** Cannot be made here; its rule is proven by what the tools print on a machine that has it. */
export interface RecordedFault extends Named {
  proof: 'recorded';
  test: string;
  /** Why no disk of the laboratory can have it. */
  why: string;
}

/** Made by a test of its own: on a running system, in a virtual machine, on a smaller disk. */
export interface LiveFault extends Named {
  proof: 'live';
  test: string;
}

/** Cannot be produced here. */
export interface AbsentFault extends Named {
  proof: 'none';
  why: string;
}

export type Fault = RepairedFault | ReportedFault | RecordedFault | LiveFault | AbsentFault;
