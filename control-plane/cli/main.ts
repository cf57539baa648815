import { readFileSync } from 'node:fs';
import { homedir, hostname } from 'node:os';
import { join } from 'node:path';
import { exitStatus } from './exit-status.ts';
import { runProgram } from './program.ts';
import type { Surroundings } from './surroundings.ts';

/** The entry of `intervene`: the only place of the command line that reads the environment. */
const { env } = process;

const { version } = JSON.parse(
  readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
) as { version: string };

const surroundings: Surroundings = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  home:
    env['INTERVENE_HOME'] ??
    join(env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config'), 'intervene'),
  profile: env['INTERVENE_PROFILE'] ?? 'default',
  term: env['TERM'],
  color: !env['NO_COLOR'] && env['TERM'] !== 'dumb',
  pager: pagerWords(env['PAGER']),
  timeZone: undefined,
  version,
  hostName: hostname(),
  now: () => Date.now(),
  onInterrupt,
};

// A reader that has seen enough, such as head, closes the pipe: that is leaving, not failing.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? exitStatus.left : exitStatus.failed);
  });
}

process.exit(await runProgram(process.argv.slice(2), surroundings));

/** Without a listener the signals end the process, as they do by themselves. */
function onInterrupt(listener: () => void): () => void {
  process.on('SIGINT', listener);
  process.on('SIGTERM', listener);
  return () => {
    process.off('SIGINT', listener);
    process.off('SIGTERM', listener);
  };
}

function pagerWords(pager: string | undefined): readonly string[] | null {
  if (pager === undefined) return ['less', '-FRX'];
  const words = pager.split(/\s+/).filter(Boolean);
  return words.length === 0 || words[0] === 'cat' ? null : words;
}
