import type { FilesystemOutcome, FilesystemResult } from '../../../proto/actions/filesystem.ts';
import type { E2fsckRun } from './e2fsck.ts';

const EXAMPLES = 20;
const EXAMPLE_MAX_CHARACTERS = 480;
const DETAIL_MAX_CHARACTERS = 2000;

interface ResultParts {
  outcome: FilesystemOutcome;
  device: string;
  filesystem: string;
  uuid: string | null;
  /** The run that found the problems; null when none was needed. */
  run: Pick<E2fsckRun, 'transcript'> | null;
  /** Of the deciding run. */
  exitStatus: number | null;
  detail: string;
}

export function filesystemResult(parts: ResultParts): FilesystemResult {
  const { run, detail, ...rest } = parts;
  const problems = run?.transcript.problems ?? [];
  return {
    ...rest,
    problems: run?.transcript.problemCount ?? 0,
    examples: problems.slice(0, EXAMPLES).map(({ text }) => text.slice(0, EXAMPLE_MAX_CHARACTERS)),
    detail: detail.slice(0, DETAIL_MAX_CHARACTERS),
  };
}
