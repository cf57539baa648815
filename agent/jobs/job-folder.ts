import { mkdir, open, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PLAN_FILE, SPEC_FILE } from './control-messages.ts';
import { jobSpecSchema, type JobSpec } from './job-spec.ts';
import { JournalReader } from './journal-reader.ts';
import { JournalWriter, writeReserve } from './journal-writer.ts';
import { SPOOL_FILE } from './spool-writer.ts';

/** Makes a folder in which a runner can work: everything that would need space later is there. */
export async function createJobFolder(directory: string): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  await writeReserve(directory);
  await writeFile(join(directory, SPOOL_FILE), '', { mode: 0o600 });
  const journal = await JournalWriter.open(directory);
  await journal.sync();
  await journal.close();
}

/** Writes what the runner is to do, and that the job is known here; both are on disk afterwards. */
export async function writeReceived(directory: string, spec: JobSpec): Promise<void> {
  const file = await open(join(directory, SPEC_FILE), 'w', 0o600);
  const journal = await JournalWriter.open(directory);
  try {
    await file.writeFile(JSON.stringify(spec));
    await Promise.all([
      file.datasync(),
      journal.append({ type: 'received', at: Date.now(), job: spec.job, version: 1 }),
    ]);
  } finally {
    await file.close();
    await journal.close();
  }
}

/** Null when the agent died before it had written it, or when it is no spec. */
export async function readSpec(directory: string): Promise<JobSpec | null> {
  try {
    return jobSpecSchema.parse(JSON.parse(await readFile(join(directory, SPEC_FILE), 'utf8')));
  } catch {
    return null;
  }
}

export async function readPlan(directory: string): Promise<Buffer | null> {
  return readFile(join(directory, PLAN_FILE)).catch(() => null);
}

/** Makes names in a folder durable. */
export async function syncFolder(directory: string): Promise<void> {
  const handle = await open(directory);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The job that the journal in a folder was begun for; null when it was begun for none. */
export async function receivedJob(directory: string): Promise<string | null> {
  const journal = new JournalReader(directory);
  await journal.refresh().catch(() => undefined);
  const [first] = journal.records;
  return first?.type === 'received' ? first.job : null;
}

/** Whether the log of a job is still here; it is removed when everything is committed elsewhere. */
export async function hasSpool(directory: string): Promise<boolean> {
  return stat(join(directory, SPOOL_FILE)).then(
    () => true,
    () => false,
  );
}
