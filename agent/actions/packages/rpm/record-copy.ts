import { cp, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../../runner/action.ts';
import { recordFolder, runRpm } from './rpm-records.ts';

/** With `--dbpath` of a copy: nothing but that copy is touched. */
export const ON_COPY: readonly string[] = [
  ...['--justdb', '--noscripts', '--notriggers', '--nosignature'],
];
const LACKING: readonly string[] = [
  ...['--verify', '--all', '--nofiles', '--noscripts', '--nodigest', '--nosignature'],
];

/** Works on a copy of rpm's record, which is gone when this returns. */
export async function withRecordCopy<Result>(
  context: ActionContext,
  body: (copy: string) => Promise<Result>,
): Promise<Result> {
  const folder = join(context.directory, 'rehearsal');
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  try {
    // A level below: rpm builds a record anew beside the old one.
    const copy = join(folder, 'record');
    await cp(await recordFolder(context), copy, { recursive: true });
    return await body(copy);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What packages lack, one line for each as rpm says it; of the record in a folder, or of the server's own. */
export async function lackingLinesOf(
  context: Pick<ActionContext, 'run'>,
  folder: string | null = null,
): Promise<string[]> {
  const place = folder === null ? [] : ['--dbpath', folder];
  const { out } = await runRpm(context, [...place, ...LACKING]);
  return lackingLines(out);
}

/** Below `Unsatisfied dependencies for A:` what A lacks, each a line that names A; a conflict stands below both. */
export function lackingLines(out: string): string[] {
  const lines = out.split('\n').filter((line) => /^\s+\S/.test(line));
  return [...new Set(lines.map((line) => line.trim()))];
}
