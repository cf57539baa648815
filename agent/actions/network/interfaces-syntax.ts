import { isIP } from 'node:net';
import { differsInOneLetter } from '../files/misspelling.ts';
import { parseInterfaceAddress, prefixOfMask } from './ip-address.ts';

/** A line of interfaces(5) that says something. */
export interface InterfacesLine {
  /** From 0. */
  index: number;
  words: string[];
}

/** `iface NAME FAMILY METHOD` with its options. */
export interface Stanza {
  name: string;
  family: string;
  method: string;
  line: InterfacesLine;
  options: InterfacesLine[];
}

const OPENERS =
  'auto iface mapping source source-directory no-auto-down no-scripts rename template'.split(' ');
const METHODS: Readonly<Record<string, readonly string[]>> = {
  inet: 'loopback static manual dhcp bootp tunnel ppp wvdial ipv4ll link'.split(' '),
  inet6: 'auto loopback static manual dhcp v4tunnel 6to4 link'.split(' '),
  can: ['static'],
  ipx: ['static', 'dynamic'],
};
/** Of ifupdown itself and of the packages that most servers have; others are left as they are. */
const OPTIONS = (
  'address netmask broadcast gateway metric pointopoint hwaddress mtu scope up down pre-up post-up pre-down ' +
  'post-down hostname leasehours leasetime vendor client autoconf accept_ra privext dad-attempts dad-interval ' +
  'preferred-lifetime request_prefix dns-nameservers dns-nameserver dns-search dns-domain vlan-raw-device vlan-id ' +
  'bridge_ports bridge_stp bridge_fd bridge-ports bridge-stp bridge-fd bond-master bond-mode bond-slaves bond-miimon ' +
  'bond-primary wpa-ssid wpa-psk wpa-conf description inherits script map'
).split(' ');

export const WORDS: readonly string[] = [
  ...new Set([
    ...OPENERS,
    'allow-hotplug',
    ...Object.keys(METHODS),
    ...Object.values(METHODS).flat(),
    ...OPTIONS,
  ]),
];

export function linesOf(text: string): InterfacesLine[] {
  let isContinued = false;
  return text.split('\n').flatMap((line, index) => {
    const belongsToLast = isContinued;
    isContinued = line.endsWith('\\');
    const trimmed = line.trim();
    if (belongsToLast || trimmed === '' || trimmed.startsWith('#')) return [];
    return [{ index, words: trimmed.split(/\s+/) }];
  });
}

export function isOpener([first = '']: readonly string[]): boolean {
  return OPENERS.includes(first) || first.startsWith('allow-');
}

export function stanzasOf(text: string): Stanza[] {
  const stanzas: Stanza[] = [];
  let current: Stanza | null = null;
  for (const line of linesOf(text)) {
    const [first, name = '', family = '', method = ''] = line.words;
    if (first === 'iface') {
      current = { name, family, method, line, options: [] };
      stanzas.push(current);
    } else if (isOpener(line.words)) current = null;
    else current?.options.push(line);
  }
  return stanzas;
}

/** The value of an option of a stanza. */
export function optionOf({ options }: Stanza, name: string): InterfacesLine | null {
  return options.find(({ words }) => words[0] === name) ?? null;
}

/** The address of a stanza, with a prefix that stands beside it or in `netmask`. */
export function addressOf(stanza: Stanza): { address: string; prefix: number } | null {
  const address = optionOf(stanza, 'address')?.words[1] ?? '';
  if (address.includes('/')) return parseInterfaceAddress(address);
  const prefix = prefixOfMask(optionOf(stanza, 'netmask')?.words[1] ?? '');
  return isIP(address) === 0 || prefix === null ? null : { address, prefix };
}

/**
 * The first line, from 1, that ifupdown would not take or would pass over in silence (an option it does not know is
 * given to scripts), and what is wrong with it.
 */
export function findSyntaxFault(text: string): { line: number; why: string } | null {
  let isInIface = false;
  let isInMapping = false;
  for (const { index, words } of linesOf(text)) {
    const why = isOpener(words)
      ? faultOfOpener(words)
      : isInIface
        ? faultOfOption(words)
        : isInMapping
          ? null
          : `${words[0]} begins nothing`;
    if (why !== null) return { line: index + 1, why };
    if (!isOpener(words)) continue;
    isInIface = words[0] === 'iface';
    isInMapping = words[0] === 'mapping';
  }
  return null;
}

function faultOfOpener([first = '', name, family, method]: readonly string[]): string | null {
  if (name === undefined) return `${first} names nothing`;
  if (first !== 'iface' || family === undefined || family === 'inherits') return null;
  const methods = METHODS[family];
  if (methods === undefined) return `there is no family ${family}`;
  if (method === undefined || !methods.includes(method))
    return `there is no method ${method ?? ''} of ${family}`;
  return null;
}

function faultOfOption([name = '', value = '']: readonly string[]): string | null {
  if (!OPTIONS.includes(name)) {
    const meant = [...OPENERS, ...OPTIONS].find((one) => differsInOneLetter(name, one));
    return meant === undefined ? null : `${name} means nothing to ifupdown; perhaps ${meant}`;
  }
  if (name === 'address') {
    const isRight = isIP(value) > 0 || parseInterfaceAddress(value) !== null;
    return isRight ? null : `${value} is no address`;
  }
  if (name === 'gateway') {
    return isIP(value) > 0 || value === 'auto' ? null : `${value} is no address`;
  }
  if (name === 'netmask') return prefixOfMask(value) === null ? `${value} is no mask` : null;
  return null;
}
