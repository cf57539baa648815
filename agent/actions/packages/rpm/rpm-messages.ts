import type { CommandResult } from '../../../process/command.ts';
import { ActionError } from '../../../runner/action.ts';
import { listed } from '../change-plan.ts';

const MAX_CHARACTERS = 1500;

/** A program of a package that failed, as rpm, dnf and zypper say it; a trigger's is `<unknown>` to dnf. */
const FAILED_SCRIPT =
  /%\w{1,40}\(\S{1,300}\) scriptlet failed[^\n<]*|lua script failed[^\n<]*|[^\s<>]{1,300} %\w{1,40} script failed[^\n<]*|Error in \S{1,40} scriptlet in rpm package \S{1,300}/;

/** What dnf, zypper and rpm say when they cannot go on, the most telling first, and what to do about it. */
const failures: readonly { pattern: RegExp; reason: string; next: string }[] = [
  {
    pattern:
      /RPMDB already locked|can't create transaction lock|Waiting for process with pid|System management is locked/,
    reason: 'packages_locked',
    next: 'Another program is changing packages; order it again when that has ended.',
  },
  {
    pattern:
      /rpmdb open failed|cannot open Packages|database disk image is malformed|Rpmdb.*(?:corrupt|damaged)/i,
    reason: 'record_damaged',
    next: "rpm's record of packages is damaged: packages.repair builds it anew.",
  },
  {
    pattern:
      /No space left on device|At least \d+\S* more space needed|not enough (?:free )?space/i,
    reason: 'no_space',
    next: 'Make room first.',
  },
  {
    pattern:
      /GPG check FAILED|is not signed|GPG Keys are configured|checking of packages via GPG keys|Signature verification failed|Public key for .* is not installed/,
    reason: 'packages_unauthenticated',
    next: 'The repository does not prove where its packages come from; they are not installed.',
  },
  {
    pattern:
      /Failed to download metadata|Cannot download|Curl error|Failed to synchronize cache|Valid metadata not found|Download \(curl\) error|Error downloading|Cannot prepare internal mirrorlist/,
    reason: 'download_failed',
    next: 'Look at the network of the server and at its repositories, then order it again.',
  },
  {
    pattern: /There are no enabled repositories|No repositories defined|There are no enabled repos/,
    reason: 'sources_unreadable',
    next: 'The server has no repository to take packages from.',
  },
  {
    pattern:
      /Unable to find a match|No match for argument|No provider of|not found in package names/,
    reason: 'package_not_found',
    next: "None of the server's repositories has it under that name and version.",
  },
  {
    pattern:
      /conflicting requests|nothing provides|Problem( \d+)?: |conflicts with|Transaction test error/,
    reason: 'dependencies_unmet',
    next: 'What it needs cannot be installed beside what there is.',
  },
  {
    pattern: FAILED_SCRIPT,
    reason: 'maintainer_script_failed',
    next: 'The log says which package failed and why.',
  },
];

/** The error for a package manager that ended with another status than 0. */
export function rpmError(
  program: string,
  done: Pick<CommandResult, 'out' | 'err' | 'exitStatus'>,
  telling: readonly string[],
): ActionError {
  const all = `${done.err}\n${done.out}`;
  const found = failures.find(({ pattern }) => pattern.test(all));
  const said = telling.join(' ').replaceAll(/\s+/g, ' ').trim().slice(0, MAX_CHARACTERS);
  const what = said === '' ? `${program} ended with status ${done.exitStatus}` : said;
  return new ActionError(
    found?.reason ?? `${program}_failed`,
    found === undefined ? what : `${what} ${found.next}`,
  );
}

/**
 * What is said of programs of packages that failed, each once. After most of them rpm goes on and all end with
 * status 0: only what they say tells it.
 */
export function failedScripts({ out, err }: Pick<CommandResult, 'out' | 'err'>): string[] {
  const found = `${out}\n${err}`.matchAll(new RegExp(FAILED_SCRIPT, 'g'));
  return [...new Set([...found].map(([text]) => text.trim()))];
}

/** The error for packages that came, of which programs failed. */
export function scriptError(scripts: readonly string[]): ActionError {
  const said = listed(scripts, 5).slice(0, MAX_CHARACTERS);
  return new ActionError(
    'maintainer_script_failed',
    `Programs of packages failed${said === '' ? '' : `: ${said}`}. The log says why.`,
  );
}

export function linesOf(text: string): string[] {
  return text.split('\n').filter((line) => line.trim() !== '');
}
