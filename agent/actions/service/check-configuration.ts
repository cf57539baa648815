import type { ConfigurationCheck } from '../../../proto/actions/service.ts';
import { CommandStartError } from '../../process/command-start-error.ts';
import type { ActionContext } from '../../runner/action.ts';
import { withTarget } from '../../target/open-target.ts';
import { checkerOf } from './checkers.ts';
import { configurationFault } from './configuration-fault.ts';
import type { Unit } from './unit.ts';

const CHECK_WITHIN_MS = 60_000;
const SAID_CHARACTERS = 2000;
/** Of bubblewrap, where it is to run in a view of its own. */
const NOT_FOUND_INSIDE = /^bwrap: execvp \S+: No such file or directory$/m;

/** Has a service check its own configuration. Null where nobody can. */
export async function checkConfiguration(
  context: Pick<ActionContext, 'run' | 'note'>,
  unit: Pick<Unit, 'id' | 'programWords'>,
  withinMs = CHECK_WITHIN_MS,
): Promise<ConfigurationCheck | null> {
  const found = checkerOf(unit.id, unit.programWords);
  if (found === undefined) return null;
  const { argv, checker } = found;
  const done = await context
    .run(argv, { output: 'capture', timeoutMs: withinMs })
    .catch((error: unknown) => {
      if (error instanceof CommandStartError && error.failure === 'not_found') return null;
      throw error;
    });
  if (done === null || NOT_FOUND_INSIDE.test(done.err)) {
    context.note(`Not checked: ${argv[0]} is not installed.`);
    return null;
  }
  const said = checker.printsConfiguration === true ? done.err : done.err + done.out;
  const isUnjudged = checker.notJudged?.test(said) === true;
  const passed = done.exitStatus === 0 || isUnjudged;
  const words = done.timedOut ? `no answer within ${withinMs / 1000} s` : said.trim();
  return { argv, passed, said: words.slice(-SAID_CHARACTERS) };
}

/**
 * The same for a plan, which must change nothing: it can write nowhere. Passed is also what could not be
 * judged so; the restart asks again.
 */
export function foreseeConfiguration(
  context: ActionContext,
  unit: Pick<Unit, 'id' | 'programWords'>,
): Promise<ConfigurationCheck | null> {
  return withTarget(context, { write: false }, async ({ runInside }) => {
    const run: ActionContext['run'] = (argv, options) =>
      runInside(argv, { ...options, readOnly: true });
    const check = await checkConfiguration({ run, note: (text) => context.note(text) }, unit);
    if (check === null || check.passed) return check;
    return { ...check, passed: configurationFault(check.said) === null };
  });
}
