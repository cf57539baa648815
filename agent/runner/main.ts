import { setTimeout as sleep } from 'node:timers/promises';
import type { RunnerCommand, RunnerEvent, StartMessage } from '../jobs/control-messages.ts';
import { Pipes } from '../process/pipe.ts';
import { ControlServer } from './control-server.ts';
import { JobRun } from './job-run.ts';

/**
 * The runner: carries out one job in its working directory, then ends. It does nothing before `start`
 * comes over its control socket, and leaves when no agent has been there for `startWithinMs`, its only
 * argument. Once started it depends on nobody.
 */
const startWithinMs = Number(process.argv[2]);

let run: JobRun | null = null;
let leaving: NodeJS.Timeout | null = null;
/** The folder above is the sandbox's own, in memory. */
const pipes = new Pipes('..');
const control = new ControlServer({ onCommand, onAttended });

function onAttended(isAttended: boolean): void {
  run?.attended(isAttended);
  if (leaving !== null) clearTimeout(leaving);
  leaving = null;
  if (isAttended || run !== null) return;
  leaving = setTimeout(() => process.exit(0), startWithinMs);
}

function onCommand(command: RunnerCommand, answer: (event: RunnerEvent) => void): void {
  switch (command.type) {
    case 'start':
      if (run === null) start(command);
      else answer({ type: 'refused', why: 'already_started' });
      break;
    case 'stop':
      if (run === null) process.exit(0);
      else answer({ type: 'stopping', bound: run.stop('cancelled', command.mode, command.why) });
      break;
    case 'connection':
      run?.connected(command.connected);
      break;
    case 'leave_unless_started':
      if (run === null) process.exit(0);
      break;
    default:
      answer({ type: 'refused', why: 'unknown_command' });
  }
}

function start(message: StartMessage): void {
  const job = new JobRun(message, control, pipes);
  run = job;
  job.carryOut().then(leave, (error: unknown) => crash(error));
}

async function leave(): Promise<void> {
  await control.close();
  process.exit(0);
}

/** A defect of the runner itself: the job must not look as if it went on. */
function crash(error: unknown): void {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
  if (run === null) process.exit(70);
  void Promise.race([run.fail(), sleep(2_000)]).then(leave, () => process.exit(70));
}

process.on('uncaughtException', crash);
process.on('unhandledRejection', crash);
onAttended(false);
await pipes.prepare().catch(() => undefined);
await control.listen();
