import { existsSync } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { findAction } from '../../proto/actions/catalogue.ts';
import type { JobOutcome } from '../../proto/documents/kinds/receipt.ts';
import { GuardFolder } from '../guard/guard-folder.ts';
import { isStated } from '../statements.ts';
import { SPEC_FILE } from './control-messages.ts';
import { hasSpool, JOB_ID, readSpec } from './job-folder.ts';
import { jobSpecSchema, type JobSpec } from './job-spec.ts';
import { JournalDamagedError } from './journal-frames.ts';
import { JournalReader } from './journal-reader.ts';
import { leftToUndo } from './left-to-undo.ts';
import { readOwnFile } from './own-file.ts';
import { isRunnerAlive } from './runner-process.ts';
import { jobsWithSpec, specFile } from './runner-record.ts';

/** Why a job's folder must stay as it is. */
export type Hold =
  | 'running'
  /** The agent has not told its end, or not handed its log over. */
  | 'not_reported'
  /** The control plane may ask again what became of the order. */
  | 'remembered'
  /** Its guardian may still put files back. */
  | 'guarded'
  /** Another job takes its changes back. */
  | 'being_undone';

/** A job of which something lies on this server. */
export interface KeptJob {
  id: string;
  /** Null when what its folder says of it is nothing this version knows. */
  what: Pick<JobSpec, 'action' | 'mode' | 'ticket'> | null;
  outcome: JobOutcome | null;
  /** Milliseconds since 1970: its end, or the last change of its folder where no end can be read. */
  since: number;
  /** What it takes on the disk. */
  bytes: number;
  /** Whether its changes could no longer be taken back without the folder; also where that cannot be read. */
  isUndoable: boolean;
  hold: Hold | null;
}

const SPEC_MAX_BYTES = 1024 * 1024;

/** All jobs with a folder, the oldest first. Reads only; what a job left in its folder is not trusted. */
export async function keptJobs(stateDirectory: string): Promise<KeptJob[]> {
  const folder = join(stateDirectory, 'jobs');
  const names = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
    return [];
  });
  const undone = await jobsBeingUndone(stateDirectory);
  const jobs: KeptJob[] = [];
  for (const id of names.filter((name) => JOB_ID.test(name))) {
    jobs.push(await keptJob(stateDirectory, id, undone));
  }
  return jobs.toSorted((one, other) => one.since - other.since);
}

/** Those whose changes a job takes back that has not ended, or whose end is not told yet. */
export async function jobsBeingUndone(stateDirectory: string): Promise<Set<string>> {
  const undone = new Set<string>();
  for (const job of jobsWithSpec(stateDirectory)) {
    const undoes = (await readSpec(join(stateDirectory, 'jobs', job)))?.undoes;
    if (undoes != null) undone.add(undoes);
  }
  return undone;
}

async function keptJob(
  stateDirectory: string,
  id: string,
  undone: ReadonlySet<string>,
): Promise<KeptJob> {
  const directory = join(stateDirectory, 'jobs', id);
  const { journal, isDamaged } = readJournal(directory);
  const { ended } = journal;
  const guard = new GuardFolder(directory);
  const isReleased =
    !(await hasSpool(directory)) && (ended !== null || !existsSync(specFile(directory)));
  return {
    id,
    what: readWhat(directory),
    outcome: ended?.outcome ?? null,
    since: ended?.at ?? (await lstat(directory)).mtimeMs,
    bytes: await diskBytes(directory),
    isUndoable: isDamaged || leftToUndo(journal.records).length > 0,
    hold: isRunnerAlive(directory)
      ? 'running'
      : !isReleased
        ? 'not_reported'
        : isStated(join(stateDirectory, 'trust/statements'), id)
          ? 'remembered'
          : guard.isArmed && guard.end === null
            ? 'guarded'
            : undone.has(id)
              ? 'being_undone'
              : null,
  };
}

function readJournal(directory: string): { journal: JournalReader; isDamaged: boolean } {
  const journal = new JournalReader(directory);
  try {
    journal.refresh();
    return { journal, isDamaged: journal.records.length === 0 };
  } catch (error) {
    if (!(error instanceof JournalDamagedError)) throw error;
    return { journal, isDamaged: true };
  }
}

/** The agent's own record of a job is gone when it is released; its words are shown only if they are known. */
function readWhat(directory: string): KeptJob['what'] {
  try {
    const bytes = readOwnFile(join(directory, SPEC_FILE), SPEC_MAX_BYTES);
    const { action, mode, ticket } = jobSpecSchema.parse(JSON.parse(bytes.toString('utf8')));
    return findAction(action) === undefined ? null : { action, mode, ticket };
  } catch {
    return null;
  }
}

/** Follows no links, so that what is counted is what removing would free; a job that runs may remove things meanwhile. */
async function diskBytes(path: string): Promise<number> {
  try {
    const found = await lstat(path);
    let bytes = found.blocks * 512;
    if (!found.isDirectory()) return bytes;
    for (const name of await readdir(path)) bytes += await diskBytes(join(path, name));
    return bytes;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}
