import { dirname, join } from 'node:path';
import type { PlanStep } from '../../proto/documents/kinds/plan.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import type { JobProgress } from '../jobs/job.ts';
import type { JournalWriter } from '../jobs/journal-writer.ts';
import { runCommand, type CommandSurroundings } from '../process/run-command.ts';
import type { ActionContext } from './action.ts';
import type { JobLog } from './job-log.ts';
import type { JobParts } from './job-run.ts';
import { signalNamespace } from './namespace.ts';
import { SealedOutputs } from './sealed-outputs.ts';
import { Steps } from './steps.ts';
import type { StopControl } from './stop-control.ts';

interface ContextParts extends Omit<JobParts, 'observer' | 'load'> {
  journal: JournalWriter;
  log: JobLog;
  stopControl: StopControl;
  onProgress: (progress: JobProgress) => void;
}

/** What the action of this job is given to work with. */
export async function createContext(parts: ContextParts): Promise<ActionContext> {
  const { spec, message, directory, log, stopControl } = parts;
  const { timings, sealedInputs } = message;
  const steps = new Steps(parts.journal, log, stopControl, await plannedSteps(spec));
  const outputs = new SealedOutputs(spec, parts.journal, log);
  let running = 0;
  const surroundings: CommandSurroundings = {
    pipes: parts.pipes,
    openOutput: () => log.openOutput(),
    note: (text) => log.note(text),
    kill(pid, signal) {
      // While it is the only one, whatever else lives here was started by it or outlived another.
      if (running === 1) signalNamespace(signal);
      else signalGroup(pid, signal);
    },
    termGraceMs: timings.termGraceMs,
    drainMs: timings.drainMs,
  };
  return {
    spec,
    sealedInputs,
    directory,
    undone: spec.undoes === null ? null : await readUndone(directory, spec.undoes),
    ...(await openSession(message.sessionKeys, log)),
    note: (text) => log.note(text),
    progress: (phase, percent, text) => parts.onProgress({ phase, percent, text }),
    sealOutput: (name, value) => outputs.seal(name, value),
    async run(argv, options) {
      stopControl.checkCommand();
      running++;
      try {
        return await runCommand(surroundings, argv, options);
      } finally {
        running--;
      }
    },
    step: (step, body, putBack) => steps.run(step, body, putBack),
    signal: stopControl.signal,
  };
}

async function openSession(
  keys: string | undefined,
  log: JobLog,
): Promise<Pick<ActionContext, 'session'>> {
  if (keys === undefined) return {};
  const { splitSessionKeys } = await import('../../proto/terminal/session-keys.ts');
  return {
    session: {
      keys: splitSessionKeys(Buffer.from(keys, 'base64')),
      openOutput: () => log.openOutput(),
    },
  };
}

async function plannedSteps(spec: JobSpec): Promise<readonly PlanStep[]> {
  if (spec.plan === null) return [];
  const { planOf } = await import('./make-plan.ts');
  try {
    return planOf(spec)?.steps ?? [];
  } catch {
    // Whoever carries the plan out says so.
    return [];
  }
}

async function readUndone(directory: string, job: string): Promise<ActionContext['undone']> {
  const { JournalReader } = await import('../jobs/journal-reader.ts');
  const folder = join(dirname(directory), job);
  const journal = new JournalReader(folder);
  journal.refresh();
  return { directory: folder, records: journal.records };
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // ESRCH: the group has ended.
  }
}
