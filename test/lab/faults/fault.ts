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
  /** What is compared after the undo: every file, or every byte of the disk; or nothing can be undone. */
  undo: 'files' | 'bytes' | 'none';
  /** Booted in QEMU after the repair, where there is time. */
  boots?: true;
}

/** Found, told, and left alone: a repair would destroy what is left, or it is not the engineer's to decide. */
export interface ReportedFault extends OnDisk {
  proof: 'report';
  finding: string;
  action?: never;
}

/** Looked at through output of the tools that was recorded on a real machine; the tests are named. */
export interface RecordedFault extends Named {
  proof: 'recorded';
  test: string;
}

/** Of a running system: a test of its own boots one. */
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
