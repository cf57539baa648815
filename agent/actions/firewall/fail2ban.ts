import type { ActionContext } from '../../runner/action.ts';
import type { LiveOpening } from './live-opening.ts';

const JAILS_MAX = 64;
const CLIENT = 'fail2ban-client';

/** What lifts the bans of an address, in every jail that holds one; nothing where fail2ban does not run. */
export async function bannedOpenings(
  context: ActionContext,
  address: string,
): Promise<LiveOpening[]> {
  const jails = await jailsOf(context);
  const openings: LiveOpening[] = [];
  for (const jail of jails) {
    const banned = await ask(context, ['get', jail, 'banip']);
    if (!banned.split(/\s+/).includes(address)) continue;
    openings.push({
      insert: [CLIENT, 'set', jail, 'unbanip', address],
      remove: [CLIENT, 'set', jail, 'banip', address],
    });
  }
  return openings;
}

async function jailsOf(context: ActionContext): Promise<string[]> {
  const [, list = ''] = /Jail list:\s*(.*)/.exec(await ask(context, ['status'])) ?? [];
  return list
    .split(/,\s*/)
    .filter((name) => /^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(name))
    .slice(0, JAILS_MAX);
}

async function ask(context: ActionContext, words: readonly string[]): Promise<string> {
  const done = await context.run([CLIENT, ...words], { output: 'capture' }).catch(() => null);
  return done?.exitStatus === 0 ? done.out : '';
}
