import { CommandStartError } from '../../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { BackupSuperblock } from './backup-superblock.ts';
import { E2fsckTranscript } from './e2fsck-transcript.ts';
import type { Superblock } from './superblock.ts';

export interface E2fsckOptions {
  /** Device, or image file relative to `directory`. */
  device: string;
  /** `look` answers no to everything, `repair` yes; `replay` only brings the journal's changes home. */
  mode: 'look' | 'repair' | 'replay';
  superblock: Pick<BackupSuperblock, 'block' | 'blockSize'> | null;
  /** Where e2fsck leaves what it overwrites, for e2undo(8). */
  undoFile?: string;
  /** What the tool takes for the present; see `presentFor` and `latestStamp`. */
  now: number;
  directory?: string;
  /** Whether its words go to the job's log. */
  isLogged: boolean;
  /** Name of what goes on, for progress. */
  phase: string;
  /** Ends the tool at the first input/output error it tells: writing goes on worsening a failing disk. */
  stopsOnInputOutputError?: boolean;
  signal?: AbortSignal;
}

export interface E2fsckRun {
  /** A mask of bits, see e2fsck(8); null when a signal ended it. */
  exitStatus: number | null;
  signal: NodeJS.Signals | null;
  transcript: E2fsckTranscript;
}

const ENVIRONMENT = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LANG: 'C.UTF-8',
  HOME: '/root',
  TERM: 'dumb',
  // What this machine's administrator set for its own checks must not change what a plan has shown.
  E2FSCK_CONFIG: '/dev/null',
  BLKID_FILE: '/dev/null',
};

const YEAR_2001 = 1_000_000_000;
const YEAR_2100 = 4_102_444_800;

/** The words that run e2fsck so; descriptor 3 takes its progress. */
export function e2fsckCommand(
  options: Pick<E2fsckOptions, 'device' | 'mode' | 'superblock' | 'undoFile'>,
): string[] {
  const { device, mode, superblock, undoFile } = options;
  return [
    'e2fsck',
    ...{ look: ['-fn'], repair: ['-fy'], replay: ['-y', '-E', 'journal_only'] }[mode],
    '-C',
    '3',
    ...(superblock === null ? [] : ['-b', `${superblock.block}`, '-B', `${superblock.blockSize}`]),
    ...(undoFile === undefined ? [] : ['-z', undoFile]),
    device,
  ];
}

/** Runs e2fsck to its end and reads what it says. Throws ActionError when it is not installed. */
export async function runE2fsck(
  context: Pick<ActionContext, 'run' | 'progress'>,
  options: E2fsckOptions,
): Promise<E2fsckRun> {
  const transcript = new E2fsckTranscript();
  const progress = new E2fsckProgress((percent) => {
    context.progress(options.phase, percent, `${options.phase}: ${percent} %`);
  });
  const enough = new AbortController();
  const signals = [enough.signal, ...(options.signal === undefined ? [] : [options.signal])];
  const { exitStatus, signal } = await context
    .run(e2fsckCommand(options), {
      environment: { ...ENVIRONMENT, E2FSCK_TIME: String(options.now) },
      output: options.isLogged ? 'log' : 'capture',
      onOutput(channel, bytes) {
        transcript.take(channel, bytes);
        if (options.stopsOnInputOutputError && transcript.hasInputOutputError) enough.abort();
      },
      onDescriptor: (bytes) => progress.take(bytes),
      ...(options.directory === undefined ? {} : { directory: options.directory }),
      signal: AbortSignal.any(signals),
    })
    .catch((error: unknown) => {
      if (!(error instanceof CommandStartError)) throw error;
      throw new ActionError('tool_missing', `e2fsck cannot be run here: ${error.message}`);
    });
  transcript.end();
  return { exitStatus, signal, transcript };
}

/**
 * The present, in seconds since 1970, but never before the file system's own stamps: a rescue system may
 * not know the time, and e2fsck would take healthy stamps for errors.
 */
export function presentFor(superblock: Superblock): number {
  return Math.max(Math.floor(Date.now() / 1000), latestStamp(superblock));
}

/**
 * A present that is the same each time as long as the file system is: what e2fsck says about times it has
 * just set must not make two plans differ.
 */
export function latestStamp(superblock: Superblock): number {
  const { madeAt, mountedAt, writtenAt, checkedAt } = superblock;
  const stamps = [madeAt, mountedAt, writtenAt, checkedAt];
  // Stamps from beyond are damage.
  return Math.max(YEAR_2001, ...stamps.filter((stamp) => stamp < YEAR_2100));
}

/** Turns `pass current maximum device` lines into percent, each pass weighted as e2fsck's own bar does. */
export class E2fsckProgress {
  private static readonly passEnds = [0, 70, 90, 92, 95, 100];
  private readonly onPercent: (percent: number) => void;
  private rest = '';
  private last = -1;

  constructor(onPercent: (percent: number) => void) {
    this.onPercent = onPercent;
  }

  take(bytes: Buffer): void {
    const lines = (this.rest + bytes.toString('latin1')).split('\n');
    this.rest = lines.pop()!.slice(-200);
    const line = lines.at(-1);
    if (line === undefined) return;
    const [pass, current, maximum] = line.split(' ', 3).map(Number);
    const start = E2fsckProgress.passEnds[pass! - 1];
    const end = E2fsckProgress.passEnds[pass!];
    if (start === undefined || end === undefined || !(maximum! > 0)) return;
    const percent = Math.floor(start + ((end - start) * Math.min(current!, maximum!)) / maximum!);
    // It goes back within a pass, and to the first pass when it starts anew.
    if (percent <= this.last) return;
    this.last = percent;
    this.onPercent(percent);
  }
}
