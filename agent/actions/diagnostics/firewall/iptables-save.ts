import {
  sourceFit,
  type FilterChain,
  type FilterRule,
  type Fit,
  type Packet,
  type Verdict,
} from './packet-path.ts';

/** The filter table of iptables-save(8) or ip6tables-save(8), as a packet of that version meets it. */
export function iptablesChains(saved: string, packet: Packet): Map<string, FilterChain> {
  const chains = new Map<string, { policy: 'accept' | 'drop'; rules: FilterRule[] }>();
  let isFilter = false;
  for (const line of saved.split('\n')) {
    if (line.startsWith('*')) isFilter = line === '*filter';
    if (!isFilter) continue;
    const [, chain, policy] = /^:(\S+) (\S+)/.exec(line) ?? [];
    if (chain !== undefined) {
      chains.set(chain, { policy: policy === 'DROP' ? 'drop' : 'accept', rules: [] });
    }
    const [, name, rest] = /^-A (\S+) (.*)/.exec(line) ?? [];
    if (name !== undefined) chains.get(name)?.rules.push(toRule(rest!, packet, line));
  }
  return chains;
}

/** Modules whose own options are judged below, or that only remark something. */
const PLAIN_MODULES = ['tcp', 'comment', 'conntrack', 'state', 'multiport', 'addrtype'];

function toRule(rest: string, packet: Packet, text: string): FilterRule {
  const words = rest.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? [];
  let fit: Fit = 'yes';
  let verdict: Verdict = { kind: 'none' };
  let isInverted = false;
  const narrow = (found: Fit) => {
    const turned: Fit = !isInverted || found === 'maybe' ? found : found === 'yes' ? 'no' : 'yes';
    if (fit !== 'no' && turned !== 'yes') fit = turned;
    isInverted = false;
  };
  for (let at = 0; at < words.length; at++) {
    const word = words[at]!;
    const value = () => words[++at] ?? '';
    switch (word) {
      case '!':
        isInverted = true;
        break;
      case '-p':
        narrow(['tcp', 'all', '6'].includes(value()) ? 'yes' : 'no');
        break;
      case '-s':
        narrow(sourceFit(packet, value()));
        break;
      case '-i':
        narrow(value() === 'lo' ? 'no' : 'maybe');
        break;
      case '--dport':
      case '--dports':
        narrow(hasPort(value(), packet.port) ? 'yes' : 'no');
        break;
      case '--ctstate':
      case '--state':
        narrow(value().split(',').includes('NEW') ? 'yes' : 'no');
        break;
      case '-m':
        if (!PLAIN_MODULES.includes(value())) narrow('maybe');
        break;
      case '--comment':
        value();
        break;
      case '--dst-type':
        narrow(value() === 'LOCAL' ? 'yes' : 'no');
        break;
      case '-j':
        verdict = verdictOf(value(), 'jump');
        // What follows are options of the target.
        at = words.length;
        break;
      case '-g':
        verdict = { kind: 'goto', chain: value() };
        break;
      default:
        narrow('maybe');
        if (word.startsWith('-')) value();
    }
  }
  return { fit, verdict, text, handle: 0 };
}

function verdictOf(target: string, kind: 'jump'): Verdict {
  switch (target) {
    case 'ACCEPT':
      return { kind: 'accept' };
    case 'DROP':
    case 'REJECT':
      return { kind: 'drop' };
    case 'RETURN':
      return { kind: 'return' };
    case 'LOG':
    case 'NFLOG':
    case 'MARK':
    case 'CONNMARK':
      return { kind: 'none' };
    default:
      return { kind, chain: target };
  }
}

function hasPort(text: string, port: number): boolean {
  return text.split(',').some((part) => {
    const [from = '', to = from] = part.split(':');
    return Number(from || 0) <= port && port <= Number(to || 65_535);
  });
}
