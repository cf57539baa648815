import type { CommandOptions, CommandResult } from '../../process/command.ts';
import { minimalEnvironment } from '../../process/run-command.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';

type Context = Pick<ActionContext, 'run'>;
export type Properties = ReadonlyMap<string, string>;

/** Plain words in one language and time zone, whatever the server's are. */
const ENVIRONMENT = {
  ...minimalEnvironment,
  SYSTEMD_COLORS: '0',
  SYSTEMD_PAGER: '',
  TZ: 'UTC',
};

/** Runs systemctl. Throws ActionError `systemd_unreachable` when nobody answers it. */
export async function systemctl(
  context: Context,
  words: readonly string[],
  options: Omit<CommandOptions, 'environment'> = {},
): Promise<CommandResult> {
  const done = await context.run(['systemctl', ...words], {
    output: 'both',
    ...options,
    environment: ENVIRONMENT,
  });
  const [, why] = /Failed to connect to bus: (.*)/.exec(done.err) ?? [];
  if (done.exitStatus === 0 || why === undefined) return done;
  throw new ActionError(
    'systemd_unreachable',
    `systemd cannot be asked: ${why}. Jobs reach it over the D-Bus daemon: is dbus.service running?`,
  );
}

/** `systemctl`, and anything but success throws ActionError with its words. */
export async function mustSystemctl(
  context: Context,
  words: readonly string[],
  reason: string,
  options: Pick<CommandOptions, 'signal'> = {},
): Promise<void> {
  const done = await systemctl(context, words, options);
  if (done.exitStatus === 0) return;
  throw new ActionError(reason, `systemctl ${words[0]} did not work: ${lastLine(done.err)}`);
}

/** The properties of each unit, in the order they are asked for; of one that is not there, too. */
export async function showUnits(
  context: Context,
  units: readonly string[],
  properties: readonly string[],
): Promise<Properties[]> {
  if (units.length === 0) return [];
  const words = ['show', `--property=${properties.join(',')}`, '--', ...units];
  const done = await systemctl(context, words, { output: 'capture' });
  if (done.exitStatus !== 0 || done.truncated) {
    throw new ActionError('unit_unknown', `systemctl cannot show it: ${lastLine(done.err)}`);
  }
  return parseShow(done.out, units.length);
}

/** Blocks of `Key=value` lines with an empty line between; a value holds no line end. */
export function parseShow(text: string, units: number): Properties[] {
  const blocks = text.replace(/\n+$/, '').split('\n\n');
  return Array.from({ length: units }, (_, at) => {
    const lines = (blocks[at] ?? '').split('\n').filter((line) => line.includes('='));
    return new Map(
      lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  });
}

export function lastLine(text: string): string {
  return text.trim().split('\n').at(-1)?.slice(0, 400) ?? '';
}
