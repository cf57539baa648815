import { isIP } from 'node:net';
import { differsInOneLetter } from '../files/misspelling.ts';
import { parseInterfaceAddress } from './ip-address.ts';

/** A line that says something: `key: value`, or an item of a list. */
export interface NetplanLine {
  /** From 0. */
  index: number;
  /** Keys from the outermost, this line's own last; `-` stands for an item of a list. */
  path: string[];
  value: string;
  /** The line, from 0, where the item of a list begins that it belongs to. */
  item: number | null;
}

export interface SyntaxFault {
  /** From 1. */
  line: number;
  why: string;
}

const TYPES =
  'ethernets wifis bonds bridges vlans tunnels vrfs modems dummy-devices nm-devices'.split(' ');
const BOOLEANS = 'dhcp4 dhcp6 accept-ra optional on-link wakeonlan critical ignore-carrier'.split(
  ' ',
);
const LISTS = 'addresses search routes routing-policy interfaces'.split(' ');
const ADDRESSES = 'gateway4 gateway6 via'.split(' ');
/** Of netplan(5), as most servers have them; others are netplan's to judge. */
const KEYS = [
  'network version renderer match macaddress name driver set-name nameservers to from metric mtu id link',
  'dhcp-identifier dhcp4-overrides dhcp6-overrides use-dns use-routes link-local parameters mode primary',
  'mii-monitor-interval table type scope optional-addresses emit-lldp activation-mode access-points password',
]
  .flatMap((line) => line.split(' '))
  .concat(TYPES, BOOLEANS, LISTS, ADDRESSES);
const TRUTH = ['true', 'false', 'yes', 'no', 'on', 'off'];

export const WORDS: readonly string[] = [
  ...KEYS,
  ...TRUTH,
  'networkd',
  'NetworkManager',
  'default',
];

interface Level {
  indent: number;
  key: string;
  childIndent: number | null;
  index: number;
  hasValue: boolean;
}

/** The lines up to the first that cannot be right, and what is wrong with that one. */
export function parseNetplan(text: string): { lines: NetplanLine[]; fault: SyntaxFault | null } {
  const lines: NetplanLine[] = [];
  const levels: Level[] = [{ indent: -1, key: '', childIndent: null, index: -1, hasValue: false }];
  for (const [index, raw] of text.split('\n').entries()) {
    const said = raw.replace(/(^|\s)#.*$/, '').trimEnd();
    if (said === '' || said.trim() === '---') continue;
    const why = enter(levels, said, index);
    if (why !== null) return { lines, fault: { line: index + 1, why } };
    const item = levels.findLast(({ key }) => key === '-')?.index ?? null;
    const line = { index, path: levels.slice(1).map(({ key }) => key), value: valueOf(said), item };
    const wrong = faultOf(line);
    if (wrong !== null) return { lines, fault: { line: index + 1, why: wrong } };
    lines.push(line);
  }
  return { lines, fault: null };
}

/** Goes to the level of a line; returns what is wrong with its form. */
function enter(levels: Level[], said: string, index: number): string | null {
  const blank = /^\s*/.exec(said)![0];
  if (blank.includes('\t')) return 'a tab, where netplan wants spaces';
  let indent = blank.length;
  let rest = said.trim();
  // A list may stand as far in as the key that it belongs to.
  const isItem = /^-(?:\s|$)/.test(rest);
  const isAbove = (level: Level) =>
    isItem && level.key !== '-' ? level.indent > indent : level.indent >= indent;
  while (isAbove(levels.at(-1)!)) levels.pop();
  const parent = levels.at(-1)!;
  if (parent.hasValue) return `it belongs to ${parent.key}, which has a value already`;
  parent.childIndent ??= indent;
  if (parent.childIndent !== indent) return 'it stands further in or out than what it belongs to';
  if (isItem) {
    levels.push({
      indent,
      key: '-',
      childIndent: null,
      index,
      hasValue: keyOf(rest.replace(/^-\s*/, '')) === null,
    });
    const [dash] = /^-\s*/.exec(rest)!;
    indent += dash.length;
    rest = rest.slice(dash.length);
    levels.at(-1)!.childIndent = indent;
    if (keyOf(rest) === null) return null;
  }
  const key = keyOf(rest);
  if (key === null)
    return /^[\w-]+:\S/.test(rest)
      ? 'a blank is missing behind the colon'
      : 'it is no key with a value';
  levels.push({ indent, key, childIndent: null, index, hasValue: valueOf(rest) !== '' });
  return null;
}

function keyOf(text: string): string | null {
  const [, quoted, plain] = /^(?:["']([^"']+)["']|([^\s"'[{][^\s]*?)):(?:\s|$)/.exec(text) ?? [];
  return quoted ?? plain ?? null;
}

function valueOf(said: string): string {
  const rest = said.trim().replace(/^-\s*/, '');
  const key = keyOf(rest);
  if (key === null) return rest;
  return rest.slice(rest.indexOf(':', rest.indexOf(key) + key.length) + 1).trim();
}

function faultOf({ path, value }: NetplanLine): string | null {
  const key = path.at(-1)!;
  if ((value.match(/"/g)?.length ?? 0) % 2 === 1) return 'a quotation mark is missing';
  if (value.startsWith('[') && !value.endsWith(']')) return 'the list has no end';
  if (key === '-') return faultOfItem(path.at(-2) ?? '', path, unquoted(value));
  // The third are names of interfaces.
  const isName = path.length === 3 && TYPES.includes(path[1]!);
  if (
    isName ||
    (path.length === 1 && key === 'network') ||
    (path.length === 2 && TYPES.includes(key))
  ) {
    return value === '' || /^[{&*]/.test(value)
      ? null
      : `${key} has a value, where settings belong`;
  }
  if (!KEYS.includes(key) && path.length !== 3 + Number(path[1] === 'wifis') * 2) {
    const meant = KEYS.find((one) => differsInOneLetter(key, one));
    if (meant !== undefined) return `netplan does not know ${key}; perhaps ${meant}`;
  }
  if (value === '') return null;
  if (BOOLEANS.includes(key) && !TRUTH.includes(unquoted(value).toLowerCase()))
    return `${key} is neither true nor false`;
  if (LISTS.includes(key)) {
    if (!/^[[*&]/.test(value)) return `${key} is a list`;
    for (const item of itemsOf(value)) {
      const wrong = faultOfItem(key, [...path, '-'], item);
      if (wrong !== null) return wrong;
    }
  }
  if (ADDRESSES.includes(key) && isIP(unquoted(value)) === 0) return `${value} is no address`;
  return null;
}

function faultOfItem(key: string, path: readonly string[], item: string): string | null {
  if (key !== 'addresses' || item === '' || item.endsWith(':')) return null;
  if (path.includes('nameservers')) return isIP(item) > 0 ? null : `${item} is no address`;
  return parseInterfaceAddress(item) === null ? `${item} is no address with its prefix` : null;
}

/** What stands in `[a, b]`. */
export function itemsOf(value: string): string[] {
  return value
    .replace(/^\[|\]$/g, '')
    .split(',')
    .map((item) => unquoted(item.trim()))
    .filter((item) => item !== '');
}

export function unquoted(value: string): string {
  return value.replace(/^(["'])(.*)\1$/, '$2');
}
