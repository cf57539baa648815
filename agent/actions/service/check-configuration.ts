import type { ConfigurationCheck } from '../../../proto/actions/service.ts';
import { CommandStartError } from '../../process/command-start-error.ts';
import type { ActionContext } from '../../runner/action.ts';
import { checkerOf } from './checkers.ts';
import type { Unit } from './unit.ts';

const CHECK_WITHIN_MS = 60_000;
const SAID_CHARACTERS = 2000;

/** Has a service check its own configuration. Null where nobody can. */
export async function checkConfiguration(
  context: Pick<ActionContext, 'run' | 'note'>,
  unit: Pick<Unit, 'id' | 'programWords'>,
  withinMs = CHECK_WITHIN_MS,
): Promise<ConfigurationCheck | null> {
  const found = checkerOf(unit.id, unit.programWords);
  if (found === undefined) return null;
  const { argv, checker } = found;
  try {
    const done = await context.run(argv, { output: 'capture', timeoutMs: withinMs });
    const said = checker.printsConfiguration === true ? done.err : done.err + done.out;
    const isUnjudged = checker.notJudged?.test(said) === true;
    const passed = done.exitStatus === 0 || isUnjudged;
    const words = done.timedOut ? `no answer within ${withinMs / 1000} s` : said.trim();
    return { argv, passed, said: words.slice(-SAID_CHARACTERS) };
  } catch (error) {
    if (!(error instanceof CommandStartError) || error.failure !== 'not_found') throw error;
    context.note(`Not checked: ${argv[0]} is not installed.`);
    return null;
  }
}
