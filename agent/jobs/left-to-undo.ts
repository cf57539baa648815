import type { JournalRecord, SavedRecord } from './journal-record.ts';

/** What the steps of a job saved, but for those that have put back by themselves what they did. */
export function leftToUndo(records: readonly JournalRecord[]): SavedRecord[] {
  const rolledBack = new Set(
    records.flatMap((record) => (record.type === 'step_rolled_back' ? [record.step] : [])),
  );
  return records.flatMap((record) =>
    record.type === 'step_saved' && !rolledBack.has(record.step) ? [record] : [],
  );
}
