import { TargetFileError, type TargetFiles } from '../../target/target-files.ts';
import { readState } from './disk-work.ts';
import { lackingIn } from './dpkg-record.ts';
import { lostLibcFiles } from './libc-files.ts';
import { lostRecord } from './lost-record.ts';

/**
 * Whether packages may have to be repaired from the archives that the system keeps: for one that does not run
 * there is no other source. What cannot be read counts as a fault.
 */
export async function areArchivesNeeded(files: TargetFiles): Promise<boolean> {
  try {
    const { record, isInterrupted, unfinished } = await readState(files);
    return (
      isInterrupted ||
      unfinished.length > 0 ||
      record.some(({ needsReinstall }) => needsReinstall) ||
      lackingIn(record).length > 0 ||
      (await lostLibcFiles(files)).length > 0 ||
      (await lostRecord(files)) !== null
    );
  } catch (error) {
    if (error instanceof TargetFileError) return true;
    throw error;
  }
}
