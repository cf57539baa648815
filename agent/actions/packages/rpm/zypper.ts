import { join } from 'node:path';
import { ActionError } from '../../../runner/action.ts';
import { failedScripts, linesOf, rpmError, scriptError } from './rpm-messages.ts';
import { type RpmManager, type RpmName, type RpmTransaction } from './rpm-manager.ts';

/** zypper(8): lists and packages of the job alone. Keys are not brought in without anybody who says so. */
function zypper(folder: string, packages: string, ...words: readonly string[]): string[] {
  return [
    ...['zypper', '--non-interactive', '--xmlout'],
    ...['--cache-dir', join(folder, 'cache')],
    ...['--pkg-cache-dir', join(folder, packages)],
    ...words,
  ];
}

/** What is in the parts of `<install-summary>`; any other part is refused. */
const PARTS: Readonly<Record<string, keyof RpmTransaction>> = {
  'to-install': 'installed',
  'to-upgrade': 'upgraded',
  'to-downgrade': 'downgraded',
  'to-reinstall': 'reinstalled',
  'to-remove': 'removed',
};
const INSTALL: readonly string[] = [
  'install',
  '--no-force-resolution',
  '--auto-agree-with-licenses',
];
/** zypper(8), ZYPPER_EXIT_INF_RPM_SCRIPT_FAILED: all packages came. Of %posttrans it may end with 0, too. */
const SCRIPTS_FAILED = 107;
const PROGRESS = /^<progress id="install-resolvable" name="\((\d+)\/(\d+)\) ([^"]+)" done="1"\/>$/;

export const zypperManager: RpmManager = {
  program: 'zypper',
  settings: ['/etc/zypp'],
  records: ['/var/lib/zypp', '/var/cache', '/var/log'],
  locks: ['/run/zypp.pid', '/var/run/zypp.pid'],
  word: (name, evr) => (evr === null ? name : `${name}=${evr}`),
  exactWord: ({ name, architecture, evr }) => `${name}.${architecture}=${evr}`,
  refresh: (folder) => zypper(folder, 'packages', 'refresh'),
  simulate: (folder, words) =>
    zypper(folder, 'packages', '--no-refresh', ...INSTALL, '--dry-run', ...words),
  fetch: (folder, words) =>
    zypper(folder, 'packages', '--no-refresh', ...INSTALL, '--download-only', ...words),
  fetchEarlier: (folder, entries) => [
    ...zypper(folder, 'earlier', '--no-refresh', ...INSTALL),
    ...['--force', '--download-only', ...entries.map((entry) => zypperManager.exactWord(entry))],
  ],
  install: (folder, words) => zypper(folder, 'packages', '--no-refresh', ...INSTALL, ...words),
  listAvailable: (folder, names) => [
    ...zypper(folder, 'packages', '--no-refresh', 'search', '--details'),
    ...['--match-exact', '--type', 'package', ...names],
  ],
  readAvailable(done) {
    // 104: nothing of that name is known.
    if (done.exitStatus === 104) return [];
    if (done.exitStatus !== 0) throw zypperManager.error(done);
    return elements(done.out, 'solvable').flatMap((entry): RpmName[] =>
      entry['kind'] !== 'package' || /^[(@]?System/i.test(entry['repository'] ?? '')
        ? []
        : [{ name: entry['name']!, architecture: entry['arch']!, evr: entry['edition']! }],
    );
  },
  readSimulation: readSummary,
  complaints: ({ out }) => messages(out, 'warning').filter((text) => !/file conflicts/.test(text)),
  error: (done) =>
    done.exitStatus === SCRIPTS_FAILED
      ? scriptError(failedScripts(done))
      : rpmError('zypper', done, [
          ...messages(done.out, 'error'),
          ...[...done.out.matchAll(/<description>(Problem[^<]*)<\/description>/g)].map(([, text]) =>
            plain(text!),
          ),
          ...linesOf(done.err),
        ]),
  progress(line) {
    const [, at, of, text] = PROGRESS.exec(line) ?? [];
    if (text === undefined) return null;
    return { percent: Math.floor((100 * Number(at)) / Number(of)), text: plain(text) };
  },
};

function readSummary(done: Parameters<RpmManager['readSimulation']>[0]): RpmTransaction {
  if (done.truncated) {
    throw new ActionError('plan_too_large', 'zypper would change too many packages');
  }
  const summary = /<install-summary[^>]*>([\s\S]*?)<\/install-summary>/.exec(done.out)?.[1];
  if (done.exitStatus !== 0 || summary === undefined) throw zypperManager.error(done);
  const read: RpmTransaction = {
    installed: [],
    upgraded: [],
    downgraded: [],
    reinstalled: [],
    removed: [],
  };
  for (const [, part, body] of summary.matchAll(/<(to-[a-z-]+)>([\s\S]*?)<\/\1>/g)) {
    const list = Object.hasOwn(PARTS, part!) ? PARTS[part!]! : null;
    for (const entry of elements(body!, 'solvable')) {
      if (list === null || entry['type'] !== 'package') {
        throw new ActionError(
          'zypper_unreadable',
          `zypper would change the ${entry['type']} ${entry['name']} (${part}), which is not done here. Nothing was changed.`,
        );
      }
      const { name, arch, edition } = entry as Record<'name' | 'arch' | 'edition', string>;
      if (list === 'removed') read.removed.push(name);
      else read[list].push({ name, architecture: arch, evr: edition });
    }
  }
  return read;
}

/** The attributes of every element of that name. zypper writes no `>` into an attribute. */
function elements(xml: string, name: string): Record<string, string>[] {
  return [...xml.matchAll(new RegExp(`<${name} ([^>]*)>`, 'g'))].map(([, attributes]) =>
    Object.fromEntries(
      [...attributes!.matchAll(/(?<![a-z-])([a-z-]+)="([^"]*)"/g)].map(([, key, value]) => [
        key!,
        plain(value!),
      ]),
    ),
  );
}

function messages(xml: string, type: string): string[] {
  const found = xml.matchAll(new RegExp(`<message type="${type}">([^<]*)</message>`, 'g'));
  return [...new Set([...found].map(([, text]) => plain(text!).trim().slice(0, 400)))];
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&quot;': '"',
  '&apos;': "'",
  '&lt;': '<',
  '&gt;': '>',
  '&amp;': '&',
};

function plain(text: string): string {
  return text.replaceAll(/&(?:quot|apos|lt|gt|amp);/g, (entity) => ENTITIES[entity]!);
}
