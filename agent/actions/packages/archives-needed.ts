import { TargetFileError, type TargetFiles } from '../../target/target-files.ts';
import { readState } from './disk-work.ts';
import { lackingIn } from './dpkg-record.ts';
import { lostLibcFiles } from './libc-files.ts';
import { lostRecord } from './lost-record.ts';

/**
 * Why packages may have to be repaired from the archives that the system keeps: for one that does not run there is
 * no other source. Null where they need not; what cannot be read counts as a fault.
 */
export async function whyArchivesAreNeeded(files: TargetFiles): Promise<string | null> {
  try {
    const { record, isInterrupted, unfinished } = await readState(files);
    if (isInterrupted) return 'dpkg was interrupted';
    const [open] = unfinished;
    if (open !== undefined) return `${open.name} is ${open.state}`;
    const anew = record.find(({ needsReinstall }) => needsReinstall);
    if (anew !== undefined) return `${anew.name} must be installed anew`;
    const [lacking] = lackingIn(record);
    if (lacking !== undefined) return `${lacking.by} needs ${lacking.name}, which is not there`;
    if ((await lostLibcFiles(files)).length > 0) return 'files of the C library are gone';
    return (await lostRecord(files)) === null ? null : "dpkg's record is gone";
  } catch (error) {
    if (error instanceof TargetFileError) return "dpkg's record cannot be read";
    throw error;
  }
}
