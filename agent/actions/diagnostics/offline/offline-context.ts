import { join } from 'node:path';
import type { Observation, ObservationName } from '../../../jobs/observation.ts';
import { DF_COLUMNS, homePaths } from '../../../jobs/observations.ts';
import type { CommandResult } from '../../../process/command.ts';
import type { Target } from '../../../target/open-target.ts';
import { NotApplicable, type ProbeContext } from '../probe.ts';
import type { BorrowedPrograms } from './borrowed-programs.ts';

const NFT_FILE = '/etc/nftables.conf';
const NFT_ENABLED = '/etc/systemd/system/sysinit.target.wants/nftables.service';
const IPTABLES_FILES = { iptables: '/etc/iptables/rules.v4', ip6tables: '/etc/iptables/rules.v6' };

type Look = (argv: readonly string[]) => Promise<CommandResult>;

/**
 * What probes look with at a system that does not run: its files, programs of this machine that read them,
 * and, in place of what an agent would observe, what will be so after the next boot.
 */
export function offlineContext(
  target: Target,
  borrowed: BorrowedPrograms,
  look: Look,
): ProbeContext {
  const observers: Partial<Record<ObservationName, () => Promise<Observation>>> = {
    homes: () => homes(target),
    space: () => space(target, look),
    nft: () => loadedRules(target, borrowed),
    'nft-file': () => checkedFile(target, borrowed),
    iptables: () => storedRules(target, IPTABLES_FILES.iptables),
    ip6tables: () => storedRules(target, IPTABLES_FILES.ip6tables),
  };
  return {
    files: target.files,
    observe(name) {
      const observer = observers[name];
      if (observer !== undefined) return observer();
      return Promise.reject(new NotApplicable('this system does not run'));
    },
    observed: () => Promise.resolve([]),
    run: (argv) => borrowed.run(argv),
    volumes: target.layout!.volumes,
    now: Date.now(),
  };
}

/** As df(1) prints it, with mount points as the target names them. */
async function space({ root, layout }: Target, look: Look): Promise<Observation> {
  const places = layout!.parts.map(({ mountPoint }) => join(root.path, mountPoint));
  const argv = ['df', '--block-size=1', DF_COLUMNS];
  const done = await look([...argv, ...places.map((place) => place.replace(/(?<=.)\/$/, ''))]);
  const [head = '', ...lines] = done.out.trimEnd().split('\n');
  const own = lines.map((line, at) => {
    const place = / \/.*$/.exec(line)?.[0] ?? '';
    return `${line.slice(0, line.length - place.length)} ${layout!.parts[at]?.mountPoint ?? '/'}`;
  });
  return { ...said(argv.join(' '), [head, ...own, ''].join('\n')), exitStatus: done.exitStatus };
}

/** Lines as the observation of the running system has them: mode, owner, path. */
async function homes({ files }: Target): Promise<Observation> {
  const lines: string[] = [];
  for (const path of await homePaths(files)) {
    const found = await files.stat(path).catch(() => null);
    if (found !== null) lines.push(`${found.mode.toString(16)} ${found.uid} ${path}`);
  }
  return said('stat', `${lines.join('\n')}\n`);
}

/** The rules that the next boot will load, as the kernel has them: loaded into an empty network. */
async function loadedRules(target: Target, borrowed: BorrowedPrograms): Promise<Observation> {
  const isEnabled = (await target.files.lstat(NFT_ENABLED)) !== null;
  if (!isEnabled) throw new NotApplicable('no firewall is loaded at boot by nftables.service');
  const load = await borrowed.run(['nft', '--file', NFT_FILE], { netAdmin: true });
  if (load.exitStatus !== 0) throw new NotApplicable('its rules do not load');
  const argv = ['nft', '--json', 'list', 'ruleset'];
  const { exitStatus, out, err } = await borrowed.run(argv, { netAdmin: true });
  return { exitStatus, problem: null, out, err, command: `nft --file ${NFT_FILE}` };
}

async function checkedFile(target: Target, borrowed: BorrowedPrograms): Promise<Observation> {
  if ((await target.files.stat(NFT_FILE)) === null) throw new NotApplicable(`no ${NFT_FILE}`);
  const argv = ['nft', '--check', '--file', NFT_FILE];
  const { exitStatus, out, err } = await borrowed.run(argv, { netAdmin: true });
  return { exitStatus, problem: null, out, err, command: argv.join(' ') };
}

/** What iptables-restore(8) reads is written as iptables-save(8) writes it. */
async function storedRules({ files }: Target, path: string): Promise<Observation> {
  const text = await files.read(path);
  if (text === null) throw new NotApplicable(`no ${path}`);
  return said(`cat ${path}`, text);
}

function said(command: string, out: string): Observation {
  return { exitStatus: 0, problem: null, out, err: '', command };
}
