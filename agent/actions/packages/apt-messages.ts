import type { CommandResult } from '../../process/command.ts';
import { ActionError } from '../../runner/action.ts';

const MAX_CHARACTERS = 1500;

/** What apt and dpkg say when they cannot go on, the most telling first, and what to do about it. */
const failures: readonly { pattern: RegExp; reason: string; next: string }[] = [
  {
    pattern: /Could not get lock|Unable to acquire the dpkg frontend lock|is locked by another/,
    reason: 'packages_locked',
    next: 'Another program is changing packages; order it again when that has ended.',
  },
  {
    pattern: /dpkg was interrupted/,
    reason: 'dpkg_interrupted',
    next: 'An earlier change of packages was cut off: packages.repair ends it.',
  },
  {
    pattern: /No space left on device|don't have enough free space/,
    reason: 'no_space',
    next: 'Make room first.',
  },
  {
    pattern: /unauthenticated packages|is not signed|cannot be authenticated/,
    reason: 'packages_unauthenticated',
    next: 'The source does not prove where its packages come from; they are not installed.',
  },
  {
    pattern:
      /Malformed (?:entry|stanza|line)|list of sources could not be read|Conflicting values set for option/,
    reason: 'sources_unreadable',
    next: "The server's list of sources has to be corrected first.",
  },
  {
    pattern: /--fix-broken install/,
    reason: 'dependencies_broken',
    next: 'Packages that are installed lack others they need; packages.repair brings them in.',
  },
  {
    pattern: /Unable to locate package|has no installation candidate|Version '.*' for '.*' was not/,
    reason: 'package_not_found',
    next: "None of the server's sources has it under that name and version.",
  },
  {
    pattern: /unmet dependencies|Unable to correct problems|unresolvable/,
    reason: 'dependencies_unmet',
    next: 'What it needs cannot be installed beside what there is.',
  },
  {
    pattern:
      /Failed to fetch|Unable to fetch|Could not resolve|Could not connect|Hash Sum mismatch/,
    reason: 'download_failed',
    next: 'Look at the network of the server and at its sources, then order it again.',
  },
  {
    pattern: /Sub-process \S*dpkg returned an error code/,
    reason: 'maintainer_script_failed',
    next: 'The log says which package failed and why.',
  },
];

/** The error for an apt-get that ended with another status than 0. */
export function aptError(done: Pick<CommandResult, 'out' | 'err' | 'exitStatus'>): ActionError {
  const all = `${done.err}\n${done.out}`;
  const found = failures.find(({ pattern }) => pattern.test(all));
  const said = tellingLines(done).join(' ').slice(0, MAX_CHARACTERS);
  const what = said === '' ? `apt-get ended with status ${done.exitStatus}` : said;
  return new ActionError(
    found?.reason ?? 'apt_failed',
    found === undefined ? what : `${what} ${found.next}`,
  );
}

/** Lines that say what is wrong: apt's own, and below which packages what is missing. */
function tellingLines({ out, err }: Pick<CommandResult, 'out' | 'err'>): string[] {
  const unmet = /have unmet dependencies[^\n]*\n((?: [^\n]*\n?)+)/.exec(out)?.[1] ?? '';
  return [
    ...lines(unmet).map((line) => line.trim()),
    ...lines(err).filter((line) => line.startsWith('E: ')),
  ];
}

/** What apt complains about without giving up, each once, as people may read it. */
export function aptComplaints({ err }: Pick<CommandResult, 'err'>): string[] {
  const found = lines(err)
    .filter((line) => /^[EW]: /.test(line))
    .map((line) => line.slice(3, 400));
  return [...new Set(found)].filter(
    (line) => !line.startsWith('Some index files failed to download'),
  );
}

function lines(text: string): string[] {
  return text.split('\n').filter((line) => line !== '');
}
