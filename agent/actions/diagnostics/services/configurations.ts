import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { HIDDEN_DIRECTORIES } from '../../../jobs/sandbox-paths.ts';
import type { CommandOptions, CommandResult } from '../../../process/command.ts';
import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import type { TargetFiles } from '../../../target/target-files.ts';
import { recordedConffile } from '../../packages/conffiles.ts';
import {
  checkedServices,
  checkTried,
  wrongConfiguration,
  type WrongConfiguration,
} from '../../service/wrong-configurations.ts';
import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';

const CHECK_WITHIN_MS = 10_000;
/** After it no further service of a system on disks is asked: its programs may be made to take long. */
const ALL_WITHIN_MS = 60_000;
const MAX_BYTES = 1024 * 1024;

type Run = (argv: readonly string[], options?: CommandOptions) => Promise<CommandResult>;

/** Services that the next start will not bring up, by their own checks of what they are to read. */
export const configurations: Probe = {
  id: 'services.configurations',
  area: 'services',
  limitMs: 4_000,
  async look({ files, run }) {
    return { findings: await judge(files, run, HIDDEN_DIRECTORIES) };
  },
};

/**
 * The same of a system on disks. Its own programs are asked, over a view of its files that is thrown away:
 * this machine has not the same services, nor the same versions of them.
 */
export async function judgeConfigurations(
  context: ActionContext,
  target: Target,
): Promise<NewFinding[]> {
  if ((await checkedServices(target.files)).length === 0) return [];
  return checkTried(context, target, ({ files, runInside }) => judge(files, runInside));
}

async function judge(
  files: TargetFiles,
  run: Run,
  emptied?: readonly string[],
): Promise<NewFinding[]> {
  const end = performance.now() + ALL_WITHIN_MS;
  const findings: NewFinding[] = [];
  const options = { withinMs: CHECK_WITHIN_MS, ...(emptied !== undefined && { emptied }) };
  for (const service of await checkedServices(files)) {
    if (performance.now() > end) break;
    const wrong = await wrongConfiguration(run, service, options);
    if (wrong !== null) findings.push(await findingOf(files, wrong));
  }
  return findings;
}

async function findingOf(files: TargetFiles, wrong: WrongConfiguration): Promise<NewFinding> {
  const { unit, argv, place, said } = wrong;
  const check = argv.join(' ');
  const judged = { rule: 'svc.config_bad', severity: 'warning', subject: unit } as const;
  if (place === null) {
    return {
      ...judged,
      title: `${unit} would not start: ${check} fails and names no line`,
      evidence: [commandEvidence(check, said.slice(-400) || 'it says nothing')],
      suggestion: null,
      byHand: `Mend what ${check} complains of, and run it again before any restart.`,
    };
  }
  const { file, line } = place;
  return {
    ...judged,
    title: `${unit} does not start with its configuration: line ${line} of ${file} is wrong`,
    evidence: [fileEvidence(file, line, said)],
    suggestion: (await isOtherThanBrought(files, file))
      ? { action: 'service.restore-configuration', parameters: { unit, file } }
      : null,
    byHand: `Correct line ${line} of ${file}; check with ${check} before any restart.`,
  };
}

/** Whether a package has brought it as something else than it is now, so that there is a way back. */
async function isOtherThanBrought(files: TargetFiles, file: string): Promise<boolean> {
  const link = await files.readLink(file);
  const path = link === null ? file : posix.resolve(posix.dirname(file), link);
  const recorded = await recordedConffile(files, path);
  if (recorded === null) return false;
  const bytes = await files.readBytes(path, MAX_BYTES).catch(() => null);
  return bytes !== null && createHash('md5').update(bytes).digest('hex') !== recorded.md5;
}
