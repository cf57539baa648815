import type { FilesystemOutcome, FilesystemResult } from '../../../proto/actions/filesystem.ts';
import type { E2fsckRun } from './ext/e2fsck.ts';

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
  /** Problems that the tool did not tell. */
  blemishes?: readonly string[];
  /** Of the deciding run. */
  exitStatus: number | null;
  detail: string;
}

export function filesystemResult(parts: ResultParts): FilesystemResult {
  const { run, detail, blemishes = [], ...rest } = parts;
  const told = (run?.transcript.problems ?? []).map(({ text }) => text);
  return {
    ...rest,
    problems: blemishes.length + (run?.transcript.problemCount ?? 0),
    examples: [...blemishes, ...told]
      .slice(0, EXAMPLES)
      .map((text) => text.slice(0, EXAMPLE_MAX_CHARACTERS)),
    detail: detail.slice(0, DETAIL_MAX_CHARACTERS),
  };
}
