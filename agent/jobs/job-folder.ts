import { close, fdatasync, mkdirSync, openSync, writeFileSync } from 'node:fs';
import { lstat, mkdir, readFile, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { JsonValue } from '../../proto/documents/fields.ts';
import { planSchema, type Plan } from '../../proto/documents/kinds/plan.ts';
import { documentLimits, parseStrictJson } from '../../proto/documents/strict-json.ts';
import { canonicalJson } from '../runner/canonical-json.ts';
import { PLAN_FILE, SCRATCH_FOLDER, SPEC_FILE } from './control-messages.ts';
import { jobSpecSchema, type JobSpec } from './job-spec.ts';
import { JournalDamagedError } from './journal-frames.ts';
import { JournalReader } from './journal-reader.ts';
import { JournalWriter, writeReserve } from './journal-writer.ts';
import { readOwnFile } from './own-file.ts';
import { specFile } from './runner-record.ts';
import { SPOOL_FILE } from './spool-writer.ts';

/** What the folder of a job is named; others beside it are no jobs. */
export const JOB_ID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** Makes a folder in which a runner can work: everything that would need space later is there. */
export async function createJobFolder(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  try {
    await mkdir(join(directory, SCRATCH_FOLDER), { mode: 0o700 });
    writeReserve(directory);
    writeFileSync(join(directory, SPOOL_FILE), '', { mode: 0o600 });
    const journal = JournalWriter.open(directory);
    try {
      await journal.syncSoon();
    } finally {
      journal.close();
    }
  } catch (error) {
    await rm(directory, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Writes what the runner is to do, and that the job is known here. The spec is on disk soon, long before
 * anything of it is needed again.
 *
 * @param options.isDurable whether the record is on disk afterwards. It need not be where the runner goes on in
 *   the same file at once: what it syncs before it begins is the whole file.
 */
export async function writeReceived(
  directory: string,
  spec: JobSpec,
  { isDurable }: { isDurable: boolean } = { isDurable: true },
): Promise<void> {
  const journal = JournalWriter.open(directory);
  try {
    const text = JSON.stringify(spec);
    // The runner gets a copy; what lies in its folder may be anything later.
    writeFileSync(join(directory, SPEC_FILE), text, { mode: 0o600 });
    mkdirSync(dirname(specFile(directory)), { recursive: true, mode: 0o700 });
    const file = openSync(specFile(directory), 'w', 0o600);
    writeFileSync(file, text);
    fdatasync(file, () => close(file));
    journal.write({ type: 'received', at: Date.now(), job: spec.job, version: 1 });
    if (isDurable) await journal.syncSoon();
  } finally {
    journal.close();
  }
}

/** Null when the agent died before it had written it, or when it is no spec. */
export async function readSpec(directory: string): Promise<JobSpec | null> {
  try {
    return jobSpecSchema.parse(JSON.parse(await readFile(specFile(directory), 'utf8')));
  } catch {
    return null;
  }
}

/** Null when the job made none, or left something that is no plan for what it was to do. */
export async function readPlan(directory: string): Promise<Buffer | null> {
  const spec = await readSpec(directory);
  if (spec === null) return null;
  try {
    const bytes = readOwnFile(join(directory, PLAN_FILE), documentLimits.bytes);
    const plan = planSchema.parse(parseStrictJson(bytes));
    const same = ({ server, action, actionVersion, parameters }: Plan | JobSpec) =>
      canonicalJson({ server, action, actionVersion, parameters } as JsonValue);
    return same(plan) === same(spec) ? bytes : null;
  } catch {
    return null;
  }
}

/** The job that the journal in a folder was begun for; null when it was begun for none. */
export function receivedJob(directory: string): string | null {
  const journal = new JournalReader(directory);
  try {
    journal.refresh();
  } catch (error) {
    if (!(error instanceof JournalDamagedError)) throw error;
  }
  const [first] = journal.records;
  return first?.type === 'received' ? first.job : null;
}

/** Whether the log of a job is still here; it is removed when everything is committed elsewhere. */
export async function hasSpool(directory: string): Promise<boolean> {
  return lstat(join(directory, SPOOL_FILE)).then(
    () => true,
    () => false,
  );
}
