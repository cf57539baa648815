import { nothingToRepair, readRules, type FileRepairs, type FilesLook } from './file-repair.ts';
import { iptablesBarrier } from './barrier.ts';
import { iptablesOpening } from './live-opening.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';

const FILES = { 4: '/etc/ufw/user.rules', 6: '/etc/ufw/user6.rules' } as const;
const ANYWHERE = { 4: '0.0.0.0/0', 6: '::/0' } as const;
const CHAINS = { 4: 'ufw-user-input', 6: 'ufw6-user-input' } as const;
const BEGIN = '### RULES ###';
const END = '### END RULES ###';

/**
 * What ufw's own rules need. They are written as ufw(8) writes them, tuple and rule, so that it shows and deletes
 * them as its own; ufw itself, asked where it is enabled and not running, adds half of them.
 */
export async function ufwFileRepairs({ target, packets }: FilesLook): Promise<FileRepairs> {
  const settings = (await target.files.read('/etc/ufw/ufw.conf').catch(() => null)) ?? '';
  if (!/^[ \t]*ENABLED[ \t]*=[ \t]*["']?yes["']?[ \t]*$/im.test(settings)) return nothingToRepair;
  const defaults = (await target.files.read('/etc/default/ufw').catch(() => null)) ?? '';
  const policy =
    /^[ \t]*DEFAULT_INPUT_POLICY[ \t]*=[ \t]*["']?(\w+)/m.exec(defaults)?.[1] ?? 'DROP';
  const hasVersion6 = !/^[ \t]*IPV6[ \t]*=[ \t]*["']?no/im.test(defaults);
  const steps = [];
  const removals: string[][] = [];
  for (const version of hasVersion6 ? ([4, 6] as const) : ([4] as const)) {
    const path = FILES[version];
    const text = await readRules(target.files, path);
    if (text === null) continue;
    const own = packets.filter((packet) => packet.version === version);
    let after = text;
    for (const packet of own) {
      const before = after;
      after = letIn(before, packet, policy);
      if (after !== before) removals.push(removalOf(packet));
    }
    if (after === text) continue;
    steps.push({
      id: `ufw-v${version}`,
      description: `Let SSH in over IPv${version} in ufw's own rules`,
      changes: [{ kind: 'file' as const, path, content: Buffer.from(after), mode: 0o640 }],
      verify: 'The rule and its tuple stand in the file, before anything that keeps SSH out.',
    });
  }
  return { steps, findings: [], removals };
}

function removalOf(packet: Packet): string[] {
  const barrier = { packet, chain: CHAINS[packet.version], index: null, text: '' };
  return iptablesOpening(barrier, packet.version === 4 ? 'iptables' : 'ip6tables').remove;
}

function letIn(text: string, packet: Packet, policy: string): string {
  const index = deniedBy(text, packet, policy);
  if (index === undefined) return text;
  const lines = text.split('\n');
  const tuples = lines.flatMap((line, at) => (line.startsWith('### tuple ###') ? [at] : []));
  // As it comes with the package, the list of rules has no end.
  const end = lines.includes(END) ? lines.indexOf(END) : lines.indexOf(BEGIN) + 1;
  const at = index === null ? end : (tuples[index] ?? end);
  return at <= 0 ? text : lines.toSpliced(at, 0, ...entry(packet)).join('\n');
}

/** Which of ufw's rules keeps the packet out, from 0; null: the policy; undefined: none does. */
function deniedBy(text: string, packet: Packet, policy: string): number | null | undefined {
  const rules = text
    .split('\n')
    .filter((line) => line.startsWith(`-A ${CHAINS[packet.version]} `))
    .map((line) => line.replace(CHAINS[packet.version], 'INPUT'));
  const saved = ['*filter', `:INPUT ${policy === 'ACCEPT' ? 'ACCEPT' : 'DROP'} [0:0]`, ...rules];
  const barrier = iptablesBarrier([...saved, 'COMMIT', ''].join('\n'), packet);
  if (barrier === null) return undefined;
  return barrier.index === null ? null : tupleOf(text, packet.version, barrier.index);
}

/** The number of the tuple that a rule belongs to: one tuple may have several rules. */
function tupleOf(text: string, version: 4 | 6, rule: number): number {
  let tuple = -1;
  let seen = -1;
  for (const line of text.split('\n')) {
    if (line.startsWith('### tuple ###')) tuple++;
    else if (line.startsWith(`-A ${CHAINS[version]} `)) seen++;
    if (seen === rule) return tuple;
  }
  return tuple;
}

/** As ufw's backend_iptables writes a rule without an application profile. */
function entry({ port, version, source }: Packet): string[] {
  const from = source ?? ANYWHERE[version];
  const match = source === null ? [] : ['-s', source];
  return [
    `### tuple ### allow tcp ${port} ${ANYWHERE[version]} any ${from} in`,
    ['-A', CHAINS[version], '-p', 'tcp', '--dport', String(port), ...match, '-j', 'ACCEPT'].join(
      ' ',
    ),
    '',
  ];
}
