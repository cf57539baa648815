import { closeSync, constants } from 'node:fs';
import { link, lstat, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { findAction } from '../../proto/actions/catalogue.ts';
import { declarationFor } from '../../proto/actions/declaration.ts';
import { CONTROL_SOCKET } from './control-messages.ts';
import { syncDirectory } from '../connection/durable-file.ts';
import { isLocked } from '../trust/lock.ts';
import { readSpec } from './job-folder.ts';
import type { JobSpec } from './job-spec.ts';
import { JournalDamagedError } from './journal-frames.ts';
import { JournalReader } from './journal-reader.ts';
import type { EndedRecord, JournalRecord } from './journal-record.ts';
import { leftToUndo } from './left-to-undo.ts';
import { JOURNAL_FILE, JournalWriter, RESERVE_FILE } from './journal-writer.ts';
import { ForeignFileError, openOwnFile } from './own-file.ts';
import { sequelOf } from './sequel.ts';
import { SEGMENT_FILES } from './spool-ring.ts';
import { SPOOL_FILE, SpoolWriter, type LogSummary } from './spool-writer.ts';

const DAMAGED_FILE = 'journal.damaged';
const NEW_FILE = 'journal.new';
const FOREIGN_NOTE = 'The log was replaced by something that is none; what it held is lost.';
/** Gap records and notes beyond the cap. */
const LOG_SLACK_BYTES = 1024 * 1024;
/** The order names a path that no job may have. */
export const PATH_REFUSED = 'path_refused';

/** The owner of the server stopped everything, runners included. */
const LOCKED = 'locked';

/**
 * Writes the end of a job whose runner is dead, from what it left on disk: `interrupted`, with the last
 * step and whether its undo is offered; `failed` when it was never let near the path that it names; as its
 * sequel says when it went on without the runner. A job that had ended is left as it is. Never runs anything.
 */
export async function buryJob(
  directory: string,
  job: string,
  reason: 'runner_died' | 'not_started' | (string & {}),
  note: string | null = null,
): Promise<EndedRecord> {
  const reader = new JournalReader(directory);
  let damage: JournalDamagedError | null = null;
  try {
    reader.refresh();
  } catch (error) {
    if (!(error instanceof JournalDamagedError)) throw error;
    damage = error;
  }
  if (damage === null && reader.ended !== null) return reader.ended;
  const records = reader.records.filter((record) => record.type !== 'ended');
  const isForeign = await dropForeignLog(directory);
  const found =
    damage === null && !isForeign ? reasonFor(directory, records, reason) : 'journal_damaged';
  const spec = await readSpec(directory);
  const sequel = spec !== null && found === 'runner_died' ? sequelOf(spec, directory) : null;
  const log = await finishLog(directory, isForeign ? FOREIGN_NOTE : (sequel?.note ?? note));
  const remains = {
    lastStep: lastStep(records),
    undoOffered: (sequel?.isStanding ?? true) && offersUndo(spec, records),
  };
  const ended: EndedRecord = {
    type: 'ended',
    at: Date.now(),
    outcome: sequel?.outcome ?? (found === PATH_REFUSED ? 'failed' : 'interrupted'),
    reason: sequel === null ? found : sequel.reason,
    exitStatus: null,
    result: found === PATH_REFUSED ? null : remains,
    log,
  };
  if (damage === null) appendEnd(directory, JOURNAL_FILE, job, [ended]);
  else await replaceJournal(directory, job, [...records, ended]);
  for (const name of [CONTROL_SOCKET, RESERVE_FILE]) {
    await rm(join(directory, name), { recursive: true, force: true });
  }
  return ended;
}

function reasonFor(directory: string, records: readonly JournalRecord[], reason: string): string {
  if (reason === PATH_REFUSED) return reason;
  if (!records.some((record) => record.type === 'started')) return 'not_started';
  // Whoever locks kills the runners first of all; who finds them dead cannot tell by whom.
  const isByLock = reason === 'runner_died' && isLocked(dirname(dirname(directory)));
  return isByLock ? LOCKED : reason;
}

function lastStep(records: readonly JournalRecord[]): string | null {
  return records.findLast((record) => record.type === 'step_started')?.step ?? null;
}

/** Undo is offered when the action has one and a step had saved what it was about to change, and not put it back. */
function offersUndo(spec: JobSpec | null, records: readonly JournalRecord[]): boolean {
  if (spec?.mode !== 'apply') return false;
  const action = findAction(spec.action);
  if (action === undefined || declarationFor(action, spec.target).undo !== 'yes') return false;
  return leftToUndo(records).length > 0;
}

/**
 * Removes what stands where the log should be and is no file: a job may leave a symlink or a pipe there,
 * and the log is cut and written by a process that may write everything. Whether there was any.
 */
async function dropForeignLog(directory: string): Promise<boolean> {
  const spec = await readSpec(directory);
  const maxBytes = 2 * (spec?.spoolCapBytes ?? Infinity) + LOG_SLACK_BYTES;
  let isForeign = false;
  for (const name of [SPOOL_FILE, ...SEGMENT_FILES]) {
    const path = join(directory, name);
    try {
      closeSync(openOwnFile(path, constants.O_RDONLY, maxBytes));
    } catch (error) {
      if (!(error instanceof ForeignFileError)) continue;
      await rm(path, { recursive: true, force: true });
      isForeign = true;
    }
  }
  return isForeign;
}

async function finishLog(directory: string, note: string | null): Promise<LogSummary> {
  const spec = await readSpec(directory);
  const spool = SpoolWriter.open({
    directory,
    capBytes: spec?.spoolCapBytes ?? Number.MAX_SAFE_INTEGER,
    onGrew: () => undefined,
    nowUs: () => Date.now() * 1000,
  });
  if (note !== null) spool.append('note', Buffer.from(`${note}\n`));
  return spool.finish();
}

function appendEnd(
  directory: string,
  file: string,
  job: string,
  records: readonly JournalRecord[],
): void {
  const journal = JournalWriter.open(directory, file);
  try {
    if (journal.records === 0 && records[0]?.type !== 'received') {
      journal.append({ type: 'received', at: Date.now(), job, version: 1 });
    }
    for (const record of records) journal.append(record);
  } finally {
    journal.close();
  }
}

/**
 * The damaged journal is kept for who wants to look; a new one holds what could be believed. At no moment
 * is there none: an absent journal would say that nothing was ever started.
 */
async function replaceJournal(
  directory: string,
  job: string,
  records: readonly JournalRecord[],
): Promise<void> {
  const current = join(directory, JOURNAL_FILE);
  await rm(join(directory, NEW_FILE), { recursive: true, force: true });
  appendEnd(directory, NEW_FILE, job, records);
  await rm(join(directory, DAMAGED_FILE), { recursive: true, force: true });
  const isFolder = (await lstat(current)).isDirectory();
  // A folder can neither be linked nor replaced by a file.
  await (isFolder ? rename : link)(current, join(directory, DAMAGED_FILE));
  await rename(join(directory, NEW_FILE), current);
  await syncDirectory(directory);
}
