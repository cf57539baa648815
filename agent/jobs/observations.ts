import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { TargetFiles } from '../target/target-files.ts';
import type { ObservationName } from './observation.ts';

/** What one observation is given beyond looking at the file system, which it gets read-only. */
export type ObserverPower =
  /** The server's network namespace. */
  | 'network'
  /** The nodes of the server's devices. */
  | 'devices'
  /** The socket over which systemd answers root. */
  | 'systemd'
  | 'CAP_DAC_READ_SEARCH'
  | 'CAP_NET_ADMIN'
  | 'CAP_NET_RAW'
  | 'CAP_SYSLOG'
  | 'CAP_SYS_ADMIN'
  | 'CAP_SYS_RAWIO';

export interface ObserverSpec {
  name: ObservationName;
  /** Null where there is nothing to look at. */
  argv: readonly string[] | null;
  powers: readonly ObserverPower[];
}

const HOMES_MAX = 32;
/** Mode in hexadecimal, owner, path. */
const STAT_FORMAT = '%f %u %n';
/** In their places the runner of a diagnosis has folders of its own. */
const HIDDEN_FOLDERS = ['/home', '/tmp', '/var/tmp'];
const NFT_FILE = '/etc/nftables.conf';
const DISKS_MAX = 16;
const UNIT_PROPERTIES = [
  'Id',
  'Description',
  'Result',
  'ExecMainCode',
  'ExecMainStatus',
  'NRestarts',
  'FragmentPath',
];

/** What a job of such an action is told: of everything, of the hardware it works on, or of nothing. */
export function observedFor({
  capabilities,
}: Pick<ActionDeclaration, 'capabilities'>): 'everything' | 'hardware' | null {
  if (capabilities.includes('observe')) return 'everything';
  const hasDisks = capabilities.includes('disks') || capabilities.includes('device');
  return hasDisks ? 'hardware' : null;
}

/** What shows that disks fail, which decides whether anything is written to them. */
export function hardwareSpecs(): ObserverSpec[] {
  return [
    { name: 'kernel-log', argv: ['dmesg', '--raw'], powers: ['CAP_SYSLOG'] },
    ...diskNames().map((disk): ObserverSpec => ({
      name: `smart-${disk}`,
      // A disk that sleeps is not woken.
      argv: ['smartctl', '--json', '--nocheck=standby', '--health', '--attributes', `/dev/${disk}`],
      powers: ['devices', 'CAP_SYS_RAWIO', 'CAP_SYS_ADMIN'],
    })),
  ];
}

/**
 * Everything that the agent looks at for a diagnosis, because it needs powers that the runner must not have.
 * No word of it comes from an order or from a runner: from the server come only names of disks, as the
 * kernel gives them, and homes, as paths.
 */
export async function observerSpecs(files = new TargetFiles()): Promise<ObserverSpec[]> {
  const homes = await homePaths(files);
  const hasTables = (name: string) => readText(`/proc/net/${name}`).trim() !== '';
  return [
    {
      name: 'units',
      argv: existsSync('/run/systemd/private')
        ? ['systemctl', 'show', '--no-pager', '--state=failed'].concat([
            `--property=${UNIT_PROPERTIES.join(',')}`,
            '--',
            '*',
          ])
        : null,
      powers: ['systemd'],
    },
    { name: 'space', argv: ['df', '--local', '--block-size=1', DF_COLUMNS], powers: [] },
    { name: 'mounts', argv: ['cat', '/proc/self/mountinfo'], powers: [] },
    {
      name: 'block-devices',
      argv: ['lsblk', '--json', '--bytes', '--output', LSBLK_COLUMNS],
      powers: ['devices'],
    },
    {
      // lsblk knows what udev knows; without it the devices themselves have to be asked.
      name: 'signatures',
      argv: existsSync('/run/udev/data') ? null : ['blkid', '-c', '/dev/null', '-o', 'export'],
      powers: ['devices'],
    },
    { name: 'listening', argv: ['cat', '/proc/net/tcp', '/proc/net/tcp6'], powers: ['network'] },
    { name: 'addresses', argv: ['ip', '-json', 'address'], powers: ['network'] },
    { name: 'routes', argv: ['ip', '-json', 'route'], powers: ['network'] },
    { name: 'routes6', argv: ['ip', '-json', '-6', 'route'], powers: ['network'] },
    {
      name: 'nft',
      argv: mayListNftables() ? ['nft', '--json', 'list', 'ruleset'] : null,
      powers: ['network', 'CAP_NET_ADMIN'],
    },
    {
      // Without `network` the network is an empty one: nothing that is checked reaches the server's rules.
      name: 'nft-file',
      argv:
        mayListNftables() && existsSync(NFT_FILE) ? ['nft', '--check', '--file', NFT_FILE] : null,
      powers: ['CAP_NET_ADMIN'],
    },
    {
      name: 'iptables',
      argv: hasTables('ip_tables_names') ? ['iptables-legacy-save'] : null,
      powers: ['network', 'CAP_NET_ADMIN', 'CAP_NET_RAW'],
    },
    {
      name: 'ip6tables',
      argv: hasTables('ip6_tables_names') ? ['ip6tables-legacy-save'] : null,
      powers: ['network', 'CAP_NET_ADMIN', 'CAP_NET_RAW'],
    },
    {
      name: 'folders',
      argv: ['stat', '--format', STAT_FORMAT, '--', ...HIDDEN_FOLDERS.filter(existsSync)],
      powers: [],
    },
    {
      name: 'homes',
      argv: homes.length === 0 ? null : ['stat', '--format', STAT_FORMAT, '--', ...homes],
      powers: ['CAP_DAC_READ_SEARCH'],
    },
    ...hardwareSpecs(),
  ];
}

/** What df(1) is asked for. */
export const DF_COLUMNS = '--output=source,fstype,size,avail,pcent,itotal,ipcent,target';
const LSBLK_COLUMNS = 'NAME,TYPE,SIZE,RO,FSTYPE,LABEL,UUID,PARTUUID,PARTLABEL,MODEL,TRAN';

/** Disks that can answer for their health; those of virtual machines say nothing of theirs. */
function diskNames(): string[] {
  return readNames('/sys/block')
    .filter((name) => /^(?:sd[a-z]{1,3}|hd[a-z]|nvme\d{1,3}n\d{1,3})$/.test(name))
    .slice(0, DISKS_MAX);
}

/**
 * Asking makes the kernel load the module that answers, which is a change. Where the module is neither there
 * nor built in, there are no rules either.
 */
function mayListNftables(): boolean {
  if (/^nf_tables /m.test(readText('/proc/modules'))) return true;
  const release = readText('/proc/sys/kernel/osrelease').trim();
  const builtIn = readText(`/lib/modules/${release}/modules.builtin`);
  // A kernel that came without a list has what it has.
  return builtIn === '' || builtIn.includes('/nf_tables.ko');
}

/** Homes of people who log in, with what sshd looks at there. */
export async function homePaths(files: TargetFiles): Promise<string[]> {
  const passwd = (await files.read('/etc/passwd').catch(() => null)) ?? '';
  const homes = passwd
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length === 7 && !/(?:nologin|false|sync)$/.test(fields[6]!))
    .map((fields) => fields[5]!)
    .filter((home) => /^(?:\/[^/\0\n]{1,100}){1,10}$/.test(home) && !/\/\.\.?(?:\/|$)/.test(home));
  return [...new Set(homes)]
    .slice(0, HOMES_MAX)
    .flatMap((home) => [home, `${home}/.ssh`, `${home}/.ssh/authorized_keys`]);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
