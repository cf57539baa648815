import type { TargetFiles } from '../../target/target-files.ts';
import { sourceFit, type Fit, type Packet } from '../diagnostics/firewall/packet-path.ts';
import { nothingToRepair, type FileRepairs, type FilesLook } from './file-repair.ts';

const ALLOW = '/etc/hosts.allow';
const DENY = '/etc/hosts.deny';
const SSHD = '/usr/sbin/sshd';
const SSHD_MAX_BYTES = 8 * 1024 * 1024;

/** What may come, as far as hosts_access(5) looks: the address it comes from; null for everybody. */
type Comer = Packet;

/**
 * What the files of hosts_access(5) need where sshd reads them. A line of hosts.allow comes before all of
 * hosts.deny, which stays as it is: it may shut out more than SSH.
 */
export async function hostsAccessRepairs({ target, packets }: FilesLook): Promise<FileRepairs> {
  const { files } = target;
  if (!(await readsHostsFiles(files))) return nothingToRepair;
  const read = async (path: string) => (await files.readWhole(path))?.toString('latin1') ?? '';
  const allow = await read(ALLOW);
  const [first, then] = [rulesOf(allow, 'allow'), rulesOf(await read(DENY), 'deny')];
  const comers = new Map(packets.map((packet) => [packet.source, packet]));
  const shut = [...comers.values()].filter((comer) => isShutOut([...first, ...then], comer));
  if (shut.length === 0) return nothingToRepair;
  const lines = shut.map(({ source }) => `sshd: ${source === null ? 'ALL' : clientOf(source)}\n`);
  return {
    steps: [
      {
        id: 'hosts-allow',
        description: 'Let SSH in by hosts.allow, which comes before hosts.deny',
        changes: [
          {
            kind: 'file',
            path: ALLOW,
            content: Buffer.from(lines.join('') + allow, 'latin1'),
            mode: 0o644,
          },
        ],
        verify: 'The first line that fits lets SSH in.',
      },
    ],
    findings: [],
    removals: [],
  };
}

interface Rule {
  clients: string;
  grants: boolean;
}

/** The lines about sshd, the comments and those of other programs left out. */
function rulesOf(text: string, file: 'allow' | 'deny'): Rule[] {
  return text
    .replaceAll('\\\n', '')
    .split('\n')
    .flatMap((line) => {
      // An IPv6 address stands in brackets, and only there a colon parts no fields.
      const fields = line.match(/(?:\[[^\][]*\]|[^:[])+/g)?.map((field) => field.trim()) ?? [];
      const [daemons, clients, ...options] = fields;
      if (daemons === undefined || clients === undefined || line.trimStart().startsWith('#')) {
        return [];
      }
      if (!names(daemons, ['sshd', 'ALL'])) return [];
      // hosts_options(5): the last field may turn a line round, in either file.
      const last = options.at(-1)?.toUpperCase();
      const grants = last === 'ALLOW' || (file === 'allow' && last !== 'DENY');
      return [{ clients, grants }];
    });
}

function names(list: string, wanted: readonly string[]): boolean {
  const [named = '', except = ''] = list.split(/\bEXCEPT\b/);
  const among = (part: string) => part.split(/[\s,]+/).some((name) => wanted.includes(name));
  return among(named) && !among(except);
}

/**
 * Whether the first rule that fits keeps the comer out. Who names certain clients in a rule means it: where
 * nobody is named to be let in, such a rule shuts out nobody else and lets somebody in.
 */
function isShutOut(rules: readonly Rule[], comer: Comer): boolean {
  for (const { clients, grants } of rules) {
    const fit = fitOf(clients, comer);
    if (fit === 'no') continue;
    if (fit === 'yes') return !grants;
    if (grants === (comer.source === null)) return !grants;
  }
  return false;
}

function fitOf(clients: string, comer: Comer): Fit {
  const named = clients.split(/[\s,]+/);
  if (named.includes('EXCEPT')) return 'maybe';
  if (named.includes('ALL')) return 'yes';
  const fits = named.map((client): Fit => {
    const address = /^\[?([\d.]+|(?=[\da-f.]*:)[\da-f:.]+)\]?(\/[\d.]+)?$/i.exec(client);
    if (address === null || address[1]!.endsWith('.')) return 'maybe';
    return sourceFit(comer, `${address[1]}${prefixOf(address[2])}`);
  });
  if (fits.includes('yes')) return 'yes';
  return fits.includes('maybe') ? 'maybe' : 'no';
}

/** `/255.255.0.0` is `/16`. */
function prefixOf(mask: string | undefined): string {
  if (mask === undefined || !mask.includes('.')) return mask ?? '';
  const bits = mask
    .slice(1)
    .split('.')
    .map((byte) => Number(byte).toString(2).padStart(8, '0'));
  return `/${bits.join('').replace(/0+$/, '').length}`;
}

/** An address or network as hosts_access(5) writes it. */
function clientOf(source: string): string {
  const [address = '', length] = source.split('/');
  if (address.includes(':')) return `[${address}]${length === undefined ? '' : `/${length}`}`;
  if (length === undefined) return address;
  const bits = '1'.repeat(Number(length)).padEnd(32, '0');
  const mask = [0, 8, 16, 24].map((at) => Number.parseInt(bits.slice(at, at + 8), 2)).join('.');
  return `${address}/${mask}`;
}

/** Whether the target's sshd is linked with libwrap, as Debian's is and Red Hat's is not any more. */
async function readsHostsFiles(files: TargetFiles): Promise<boolean> {
  const bytes = await files.readBytes(SSHD, SSHD_MAX_BYTES + 1).catch(() => null);
  return bytes !== null && bytes.length <= SSHD_MAX_BYTES && bytes.includes('libwrap.so.0');
}
