import type { JobSpec } from '../../../jobs/job-spec.ts';
import { Pipes } from '../../../process/pipe.ts';
import { runCommand } from '../../../process/run-command.ts';
import type { ActionContext } from '../../../runner/action.ts';

type Context = Pick<ActionContext, 'run' | 'spec' | 'directory'>;

/** What the steps that change files are given: real programs, no sandbox. `folder` is the job's. */
export function fileContext(folder: string, job = '019a0000-0000-7000-8000-000000000001'): Context {
  const pipes = new Pipes(folder);
  return {
    spec: { job } as JobSpec,
    directory: folder,
    run: (argv, options) =>
      runCommand(
        {
          pipes,
          openOutput: () => ({ write: () => true, room: () => null, end: () => undefined }),
          note: () => undefined,
          kill: (pid, signal) => void process.kill(-pid, signal),
          termGraceMs: 2000,
          drainMs: 2000,
        },
        argv,
        options,
      ),
  };
}
