import type { Finding } from '../../../proto/actions/diagnostics.ts';
import type { NetworkRecoverParameters } from '../../../proto/actions/network.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Change } from '../files/change-steps.ts';

/** What only the order can say, and nothing here guesses. */
export type NetworkFacts = Pick<
  NetworkRecoverParameters,
  'interface' | 'address' | 'gateway' | 'nameservers' | 'manager'
>;

/** Where and for what it is looked. */
export interface NetworkLook {
  files: TargetFiles;
  kind: 'live' | 'offline';
  facts: NetworkFacts;
}

/** One thing that is wrong with the configuration of the network. */
export interface NetworkFault {
  rule:
    | 'net.cloudinit_owner'
    | 'net.config_bad'
    | 'net.dns'
    | 'net.gateway'
    | 'net.if_mismatch'
    | 'net.service_off'
    | 'net.two_managers';
  severity: Finding['severity'];
  file: string;
  /** From 1; null where it is about the file as a whole. */
  line: number | null;
  /** What stands there. */
  text: string;
  /** What is wrong with it, in a sentence. */
  why: string;
}

/** What one kind of configuration needs: everything that is wrong, and as much of the repair as is certain. */
export interface NetworkRepairs {
  faults: NetworkFault[];
  changes: Change[];
}

export const nothingToRepair: NetworkRepairs = { faults: [], changes: [] };

export function together(all: readonly NetworkRepairs[]): NetworkRepairs {
  return {
    faults: all.flatMap(({ faults }) => faults),
    changes: all.flatMap(({ changes }) => changes),
  };
}

/** The text of a plain file; null where there is none, or something that cannot be read as one. */
export function readText(files: TargetFiles, path: string): Promise<string | null> {
  return files.read(path).catch(() => null);
}

/** A file with another text; nothing where the text is the same. */
export function textChange(
  path: string,
  before: string | null,
  after: string,
  mode = 0o644,
): Change[] {
  if (before === after) return [];
  return [{ kind: 'file', path, content: Buffer.from(after), mode, liftsFlags: true }];
}
