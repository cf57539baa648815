import { findAction } from '../../proto/actions/catalogue.ts';
import { declarationFor } from '../../proto/actions/declaration.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { JournalReader } from '../jobs/journal-reader.ts';
import { leftToUndo } from '../jobs/left-to-undo.ts';
import type { JobEnd } from './job-end.ts';

/**
 * The end of a job whose work was killed because it held back a stop for longer than its bound: says which
 * step is unfinished, in the words a runner that died in it would have left.
 */
export function withOverrun(end: JobEnd, spec: JobSpec, directory: string): JobEnd {
  const journal = new JournalReader(directory);
  journal.refresh();
  const { records } = journal;
  const lastStep = records.findLast((record) => record.type === 'step_started')?.step ?? null;
  const action = findAction(spec.action);
  const hasUndo =
    spec.mode === 'apply' &&
    action !== undefined &&
    declarationFor(action, spec.target).undo === 'yes';
  const undoOffered = hasUndo && leftToUndo(records).length > 0;
  const what = lastStep === null ? 'The work' : `Step ${lastStep}`;
  const note = [
    end.note ?? '',
    `${what} did not reach its end within its bound and was killed; it is unfinished.`,
    undoOffered ? 'What was saved before can be put back: undo the job.' : '',
  ];
  return {
    ...end,
    result: end.result ?? { lastStep, undoOffered },
    note: note.filter((text) => text !== '').join(' '),
  };
}
