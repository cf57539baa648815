import type { FilesystemOutcome } from '../../../proto/actions/filesystem.ts';
import type { Severity } from '../../../proto/actions/diagnostics.ts';
import type { CommandResult } from '../../process/command.ts';

/** Runs a program that only looks, to its end. */
export type Look = (argv: readonly string[]) => Promise<CommandResult>;

/** What a look at a file system that nobody uses came to; nothing was written. */
export interface Sight {
  outcome: Extract<
    FilesystemOutcome,
    'clean' | 'errors_left' | 'journal_pending' | 'tool_too_old' | 'operational_error'
  >;
  /** Null when it is clean. */
  reason: string | null;
  /** For people, in one or two sentences. */
  detail: string;
  uuid: string | null;
  /** Of the deciding program; null where none ran. */
  exitStatus: number | null;
  /** In the tool's words; the same ones as long as the file system is the same. */
  problems: readonly string[];
  /** Null when it is clean, or could not be looked at. */
  fault: Fault | null;
}

/** How a diagnosis names what was seen. */
export interface Fault {
  /** `fs.xfs_damage`; never changes. */
  rule: string;
  severity: Severity;
  /** What a person does where no action does it. */
  byHand: string;
  /** Whether `filesystem.repair` mends it. */
  isRepairable: boolean;
}

export function cleanSight(uuid: string | null, exitStatus: number | null): Sight {
  return {
    outcome: 'clean',
    reason: null,
    detail: 'No errors were found.',
    uuid,
    exitStatus,
    problems: [],
    fault: null,
  };
}

/** The tool could not do its work, or the disk could not give what it asked for. */
export function failedSight(tool: string, done: CommandResult, uuid: string | null): Sight {
  const said = printable(`${done.err} ${done.out}`).trim().slice(-500);
  const isHardware = saysInputOutputError(done);
  return {
    outcome: 'operational_error',
    reason: isHardware ? 'hardware_failing' : 'tool_failed',
    detail: isHardware
      ? 'The disk reports input/output errors.'
      : `${tool} could not do its work (exit status ${done.exitStatus}): ${said}`,
    uuid,
    exitStatus: done.exitStatus,
    problems: [],
    fault: null,
  };
}

export function saysInputOutputError({ out, err }: CommandResult): boolean {
  return /input\/output error/i.test(`${out}\n${err}`);
}

/** What is left of a tool's words when those that say nothing of a problem are taken away. */
export function problemLines(done: CommandResult, frame: readonly RegExp[]): string[] {
  return `${done.out}\n${done.err}`
    .split('\n')
    .map((line) => printable(line).trim())
    .filter((line) => line !== '' && !frame.some((pattern) => pattern.test(line)));
}

/** Names in it come from the disk: without what a terminal would act on. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '?').replaceAll('\t', ' ');
}
