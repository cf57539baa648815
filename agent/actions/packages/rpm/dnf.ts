import { join } from 'node:path';
import { ActionError } from '../../../runner/action.ts';
import { linesOf, rpmError } from './rpm-messages.ts';
import { evrOf, type RpmManager, type RpmName, type RpmTransaction } from './rpm-manager.ts';

/** dnf(8) of version 4, dnf.conf(5). Said on every command line, so that no setting of the server counts. */
function dnf(folder: string, ...words: readonly string[]): string[] {
  const settings = {
    cachedir: join(folder, 'cache'),
    logdir: join(folder, 'log'),
    destdir: join(folder, 'packages'),
    keepcache: 'True',
    best: 'True',
    strict: 'True',
    // Neither old kernels nor what nothing needs any more goes away by itself.
    installonly_limit: '0',
    clean_requirements_on_remove: 'False',
    exit_on_lock: 'True',
  };
  const options = Object.entries(settings).map(([key, value]) => `--setopt=${key}=${value}`);
  return ['dnf', ...options, ...words];
}

/** Titles of the table of a transaction, and which list its rows belong to. */
const TITLES: Readonly<Record<string, keyof RpmTransaction>> = {
  'Installing:': 'installed',
  'Installing dependencies:': 'installed',
  'Installing weak dependencies:': 'installed',
  'Upgrading:': 'upgraded',
  'Downgrading:': 'downgraded',
  'Reinstalling:': 'reinstalled',
  'Removing:': 'removed',
  'Removing dependent packages:': 'removed',
  'Removing unused dependencies:': 'removed',
};
const RULE = /^={20,}$/;
/** Repository and size end a row; a size of less than 1000 bytes has no unit. */
const ROW = /^(\S+)\s+(\S+)\s+(\S+)\s+(\S+)\s+\d+(?:\.\d+)?\s*[kMGT]?$/;
const NAME_FORMAT = '%{name}\\t%{epoch}\\t%{version}-%{release}\\t%{arch}\\n';
const PROGRESS = /^\s+([A-Z][A-Za-z ]*?)\s*: (\S+)\s+(\d+)\/(\d+)\s*$/;
const COMPLAINT =
  /^(?:Errors during downloading|Failed to download metadata|Error: Failed to download metadata|Ignoring repositories|Warning: failed loading|Invalid configuration)/;

/** dnf of RHEL 8 to 10 and their kin, and of Fedora up to 40. */
export const dnfManager: RpmManager = {
  program: 'dnf',
  settings: ['/etc/dnf', '/etc/yum.repos.d', '/etc/yum'],
  records: ['/var/lib/dnf', '/var/cache', '/var/log'],
  locks: [],
  word: (name, evr) => (evr === null ? name : `${name}-${evr}`),
  exactWord: ({ name, architecture, evr }) =>
    `${name}-${evr.includes(':') ? evr : `0:${evr}`}.${architecture}`,
  refresh: (folder) => dnf(folder, '--refresh', 'makecache'),
  simulate: (folder, words) => dnf(folder, '--cacheonly', '--assumeno', 'install', ...words),
  // Signatures are looked at when it is installed: looking may bring keys into rpm's record.
  fetch: (folder, words) =>
    dnf(folder, '--assumeyes', '--nogpgcheck', '--downloadonly', 'install', ...words),
  fetchEarlier: (folder, entries) => [
    ...dnf(folder, `--setopt=destdir=${join(folder, 'earlier')}`),
    ...[
      '--assumeyes',
      '--downloadonly',
      'reinstall',
      ...entries.map((entry) => dnfManager.exactWord(entry)),
    ],
  ],
  install: (folder, words) => dnf(folder, '--cacheonly', '--assumeyes', 'install', ...words),
  listAvailable: (folder, names) => [
    ...dnf(folder, '--cacheonly', '--quiet', 'repoquery', '--available'),
    ...['--queryformat', NAME_FORMAT, ...names],
  ],
  readAvailable: (done) => {
    if (done.exitStatus !== 0) throw dnfManager.error(done);
    return linesOf(done.out).flatMap((line): RpmName[] => {
      const [name, epoch, version, architecture, ...more] = line.split('\t');
      if (architecture === undefined || more.length > 0) return [];
      return [{ name: name!, architecture, evr: evrOf(epoch!, version!) }];
    });
  },
  readSimulation: readTable,
  complaints: ({ out, err }) => [
    ...new Set(
      linesOf(`${err}\n${out}`)
        .filter((line) => COMPLAINT.test(line))
        .map((line) => line.slice(0, 400)),
    ),
  ],
  error: (done) =>
    rpmError(
      'dnf',
      done,
      // What is wrong stands from the first line that says so to the end.
      linesOf(done.err).filter(
        (line, at, all) =>
          all.slice(0, at + 1).some((one) => /^(?:Error|error|RPMDB)/.test(one)) ||
          line.startsWith('No match for'),
      ),
    ),
  progress(line) {
    const [, verb, name, at, of] = PROGRESS.exec(line) ?? [];
    if (name === undefined || verb === 'Preparing' || verb === 'Verifying') return null;
    return { percent: Math.floor((100 * Number(at)) / Number(of)), text: `${verb} ${name}` };
  },
};

/** The table that `dnf --assumeno install` prints; its rows go on in the next line where they are long. */
function readTable(done: Parameters<RpmManager['readSimulation']>[0]): RpmTransaction {
  const read: RpmTransaction = {
    installed: [],
    upgraded: [],
    downgraded: [],
    reinstalled: [],
    removed: [],
  };
  if (done.truncated) throw new ActionError('plan_too_large', 'dnf would change too many packages');
  const lines = done.out.split('\n').map((line) => line.trimEnd());
  const rules = lines.flatMap((line, at) => (RULE.test(line) ? [at] : []));
  const end = lines.indexOf('Transaction Summary');
  if (rules.length < 2 || end === -1) {
    if (done.exitStatus === 0 && lines.includes('Nothing to do.')) return read;
    throw dnfManager.error(done);
  }
  let list: keyof RpmTransaction | null = null;
  let row = '';
  for (const line of lines.slice(rules[1]! + 1, end)) {
    if (line === '') continue;
    if (/^\S/.test(line)) {
      if (row !== '' || !Object.hasOwn(TITLES, line)) throw unreadable(row || line);
      list = TITLES[line]!;
      continue;
    }
    const replaced = /^\s+replacing\s+(\S+?)\.[^.\s]+\s+\S+$/.exec(line);
    if (replaced !== null && row === '') {
      read.removed.push(replaced[1]!);
      continue;
    }
    row = `${row} ${line.trim()}`.trim();
    const [, name, architecture, evr] = ROW.exec(row) ?? [];
    if (evr === undefined || list === null) continue;
    if (list === 'removed') read.removed.push(name!);
    else read[list].push({ name: name!, architecture: architecture!, evr });
    row = '';
  }
  if (row !== '') throw unreadable(row);
  return read;
}

function unreadable(line: string): ActionError {
  return new ActionError(
    'dnf_unreadable',
    `dnf says what is not understood here, so nothing is done: ${line.slice(0, 200)}`,
  );
}
