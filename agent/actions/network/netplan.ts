import { isIPv4 } from 'node:net';
import { correctMisspelling } from '../files/misspelling.ts';
import { isInNetwork, parseInterfaceAddress } from './ip-address.ts';
import { judgeName, renameInterface } from './interface-names.ts';
import { filesIn, NETPLAN } from './managers.ts';
import { itemsOf, parseNetplan, unquoted, WORDS, type NetplanLine } from './netplan-syntax.ts';
import {
  readText,
  textChange,
  together,
  type NetworkFault,
  type NetworkFacts,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';
import { withoutSecrets } from './without-secrets.ts';

const ERRORS_MAX = 8;
const WORD_END = String.raw`(?![\w-])`;
const TAB_WIDTHS = [2, 3, 4, 6, 8];
const EVERYWHERE = ['default', '0.0.0.0/0', '::/0', '0/0'];

/** What netplan(5)'s files need. */
export async function netplanRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const repairs: NetworkRepairs[] = [];
  const paths = await filesIn(look.files, NETPLAN, /\.yaml$/);
  for (const path of paths) {
    const text = await readText(look.files, path);
    if (text !== null) repairs.push(await repairFile(look, path, text, paths.length === 1));
  }
  return together(repairs);
}

async function repairFile(
  look: NetworkLook,
  path: string,
  text: string,
  isOnly: boolean,
): Promise<NetworkRepairs> {
  const faults: NetworkFault[] = [];
  const { fault } = parseNetplan(text);
  let after = text;
  if (fault !== null) {
    const shown = withoutSecrets(text).split('\n')[fault.line - 1]!.trim();
    const why = `${fault.why}: netplan takes nothing of its configuration`;
    faults.push({
      rule: 'net.config_bad',
      severity: 'critical',
      file: path,
      line: fault.line,
      text: shown,
      why,
    });
    after = await corrected(text);
  }
  const { lines, fault: left } = parseNetplan(after);
  if (left !== null) return { faults, changes: [] };
  const names = devicesOf(lines);
  const [name] = names;
  if (name === undefined || names.length > 1)
    return { faults, changes: textChange(path, text, after, 0o600) };
  const { interface: meant } = look.facts;
  const isByName = !lines.some(({ path: keys }) => keys.at(-1) === 'match');
  const misnamed = meant === undefined && isByName ? await judgeName(look, name) : null;
  if (misnamed !== null) {
    faults.push({
      rule: 'net.if_mismatch',
      severity: 'warning',
      file: path,
      line: null,
      text: name,
      why: `${misnamed}, and the configuration says ${name}`,
    });
  }
  faults.push(...gatewayFaults(path, lines));
  if (isOnly && isByName && meant !== undefined && meant !== name)
    after = renameInterface(after, name, meant, WORD_END);
  if (isOnly) after = withFacts(after, look.facts);
  return { faults, changes: textChange(path, text, after, 0o600) };
}

/** The text without what can be corrected in one way alone. */
async function corrected(text: string): Promise<string> {
  let best = text;
  for (let errors = 0; errors < ERRORS_MAX; errors++) {
    const { fault } = parseNetplan(best);
    if (fault === null) return best;
    const isRight = (draft: string) => {
      const again = parseNetplan(draft).fault;
      return again === null || again.line > fault.line;
    };
    const better =
      withoutTabs(best, isRight) ??
      reshaped(best, fault.line - 1, isRight) ??
      (await correctMisspelling(best, fault.line, WORDS, (draft) =>
        Promise.resolve(isRight(draft)),
      ));
    if (better === null) return best;
    best = better;
  }
  return best;
}

/** Tabs are given the width with which the lines belong to what they follow. */
function withoutTabs(text: string, isRight: (draft: string) => boolean): string | null {
  if (!/^ *\t/m.test(text)) return null;
  const drafts = TAB_WIDTHS.map((width) =>
    text.replaceAll(/^[ \t]+/gm, (blank) => blank.replaceAll('\t', ' '.repeat(width))),
  );
  return drafts.find((draft) => parseNetplan(draft).fault === null) ?? drafts.find(isRight) ?? null;
}

/** One line in another form: a list made of a single value, a missing blank, bracket or quotation mark. */
function reshaped(text: string, index: number, isRight: (draft: string) => boolean): string | null {
  const lines = text.split('\n');
  const line = lines[index]!;
  const forms = [
    line.replace(/^(\s*(?:-\s+)?[\w-]+:\s+)(\S(?:.*\S)?)\s*$/, '$1[$2]'),
    line.replace(/^(\s*(?:-\s+)?[\w-]+):(?=\S)/, '$1: '),
    `${line.trimEnd()}]`,
    `${line.trimEnd()}"`,
  ].filter((form) => form !== line);
  const right = forms.map((form) => lines.with(index, form).join('\n')).filter(isRight);
  return right.length === 1 ? right[0]! : null;
}

function devicesOf(lines: readonly NetplanLine[]): string[] {
  return lines
    .filter(({ path }) => path.length === 3 && path[0] === 'network' && path[1] === 'ethernets')
    .map(({ path }) => path[2]!);
}

/** Where an address of the device stands, and what it is. */
function addressesOf(lines: readonly NetplanLine[]): { line: NetplanLine; value: string }[] {
  return lines.flatMap((line) => {
    const keys = line.path.slice(3);
    if (keys[0] !== 'addresses' || keys.length > 2) return [];
    const items = keys.length === 2 ? [unquoted(line.value)] : itemsOf(line.value);
    return items.map((value) => ({ line, value }));
  });
}

/** Where a gateway to everybody stands. */
function gatewaysOf(lines: readonly NetplanLine[]): { line: NetplanLine; value: string }[] {
  const isEverywhere = (item: number | null) =>
    lines.some(
      (one) =>
        one.item === item && one.path.at(-1) === 'to' && EVERYWHERE.includes(unquoted(one.value)),
    );
  return lines.flatMap((line) => {
    const keys = line.path.slice(3);
    const isOld = keys.length === 1 && /^gateway[46]$/.test(keys[0]!);
    const isWay = keys[0] === 'routes' && keys.at(-1) === 'via' && isEverywhere(line.item);
    return isOld || isWay ? [{ line, value: unquoted(line.value) }] : [];
  });
}

function gatewayFaults(file: string, lines: readonly NetplanLine[]): NetworkFault[] {
  const networks = addressesOf(lines).flatMap(({ value }) => parseInterfaceAddress(value) ?? []);
  const isOnLink = lines.some(({ path, value }) => path.at(-1) === 'on-link' && value === 'true');
  if (networks.length === 0 || isOnLink) return [];
  return gatewaysOf(lines)
    .filter(
      ({ value }) => isIPv4(value) && !networks.some((network) => isInNetwork(value, network)),
    )
    .map(({ line, value }) => ({
      rule: 'net.gateway',
      severity: 'critical',
      file,
      line: line.index + 1,
      text: value,
      why: `the gateway ${value} lies outside of the networks ${networks.map(({ address, prefix }) => `${address}/${prefix}`).join(', ')}`,
    }));
}

/** The only device says what the order says; of several addresses or gateways the order may mean any. */
function withFacts(text: string, { address, gateway }: NetworkFacts): string {
  let after = text;
  const places = [
    [address, addressesOf],
    [gateway, gatewaysOf],
  ] as const;
  for (const [wanted, find] of places) {
    if (wanted === undefined) continue;
    const version = isIPv4(wanted.split('/', 1)[0]!);
    const own = find(parseNetplan(after).lines).filter(
      ({ value }) => isIPv4(value.split('/', 1)[0]!) === version,
    );
    if (own.length !== 1 || own[0]!.value === wanted) continue;
    const { line, value } = own[0]!;
    const rows = after.split('\n');
    after = rows
      .with(
        line.index,
        rows[line.index]!.replace(value, () => wanted),
      )
      .join('\n');
  }
  return after;
}
