import { isIPv4 } from 'node:net';
import type { TargetFiles } from '../../target/target-files.ts';
import { correctMisspellings } from '../files/misspelling.ts';
import {
  addressOf,
  findSyntaxFault,
  linesOf,
  optionOf,
  stanzasOf,
  WORDS,
  type Stanza,
} from './interfaces-syntax.ts';
import { isInterfaceName, judgeName, renameInterface } from './interface-names.ts';
import { isInNetwork, maskOfPrefix, parseInterfaceAddress } from './ip-address.ts';
import {
  readText,
  textChange,
  together,
  type NetworkFault,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';
import { withoutSecrets } from './without-secrets.ts';

const MAIN = '/etc/network/interfaces';
const FOLDER = '/etc/network/interfaces.d';
const FILES_MAX = 64;
/** Also the number of a VLAN or an alias may be behind the name. */
const WORD_END = String.raw`(?=$|[\s.:])`;

/** The files of interfaces(5), the main one first; none where ifupdown is not in use. */
export async function interfacesFiles(
  files: TargetFiles,
): Promise<{ path: string; text: string }[]> {
  const main = await readText(files, MAIN);
  if (main === null) return [];
  const found = [{ path: MAIN, text: main }];
  if (!linesOf(main).some(({ words }) => words[1]?.startsWith(FOLDER) === true)) return found;
  for (const name of (await files.list(FOLDER)).slice(0, FILES_MAX)) {
    const path = `${FOLDER}/${name}`;
    const text = /^[\w-]+$/.test(name) ? await readText(files, path) : null;
    if (text !== null) found.push({ path, text });
  }
  return found;
}

/** Interfaces that the stanzas set up, but for the loopback. */
export function interfaceNames(texts: readonly string[]): string[] {
  return namesOf(texts.flatMap(stanzasOf));
}

/** Those of hardware: what other stanzas build on top is not. */
export function hardwareNames(texts: readonly string[]): string[] {
  const plain = texts
    .flatMap(stanzasOf)
    .filter(
      ({ options }) =>
        !options.some(({ words }) =>
          /^(?:bridge|bond)[_-](?:ports|slaves|mode)|^vlan|^tunnel/.test(words[0]!),
        ),
    );
  return namesOf(plain).filter((name) => !name.includes('.'));
}

function namesOf(stanzas: readonly Pick<Stanza, 'name'>[]): string[] {
  const names = stanzas
    .map(({ name }) => name.split(':', 1)[0]!)
    .filter((name) => name !== 'lo' && isInterfaceName(name));
  return [...new Set(names)];
}

/** What ifupdown's files need. */
export async function ifupdownRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const found = await interfacesFiles(look.files);
  const drafts: { path: string; before: string; text: string; faults: NetworkFault[] }[] = [];
  for (const { path, text } of found) {
    const { corrected, faults } = await correct(path, text);
    drafts.push({ path, before: text, text: corrected, faults });
  }
  const old = await misnamed(
    look,
    drafts.map(({ text }) => text),
  );
  const repairs = drafts.map(({ path, before, text, faults }): NetworkRepairs => {
    const renamed =
      old === null || look.facts.interface === undefined
        ? text
        : renameInterface(text, old.name, look.facts.interface, WORD_END);
    const after = withFacts(renamed, look.facts, drafts.length);
    return {
      faults: [
        ...faults,
        ...(old === null ? [] : nameFaults(path, text, old)),
        ...gatewayFaults(path, renamed),
      ],
      changes: textChange(path, before, after),
    };
  });
  return together(repairs);
}

/** A file whose misspelt words are corrected where that is certain. */
async function correct(
  path: string,
  text: string,
): Promise<{ corrected: string; faults: NetworkFault[] }> {
  const fault = findSyntaxFault(text);
  if (fault === null) return { corrected: text, faults: [] };
  const firstError = (draft: string) => Promise.resolve(findSyntaxFault(draft)?.line ?? null);
  const corrected = (await correctMisspellings(text, WORDS, firstError)) ?? text;
  return {
    corrected,
    faults: [
      {
        rule: 'net.config_bad',
        severity: 'critical',
        file: path,
        line: fault.line,
        text: withoutSecrets(text).split('\n')[fault.line - 1]!,
        why: `${fault.why}: ifupdown does not set the interface up as it is meant`,
      },
    ],
  };
}

/** The one interface of hardware that the system does not have under this name. */
async function misnamed(look: NetworkLook, texts: readonly string[]) {
  const names = hardwareNames(texts);
  const { interface: meant } = look.facts;
  if (meant !== undefined && names.length === 1 && names[0] !== meant) {
    return { name: names[0]!, why: `the interface is called ${meant}` };
  }
  if (meant !== undefined) return null;
  for (const name of names) {
    const why = await judgeName(look, name);
    if (why !== null) return { name, why };
  }
  return null;
}

function nameFaults(
  path: string,
  text: string,
  old: { name: string; why: string },
): NetworkFault[] {
  const stanza = stanzasOf(text).find(({ name }) => name === old.name);
  if (stanza === undefined) return [];
  return [
    {
      rule: 'net.if_mismatch',
      severity: 'warning',
      file: path,
      line: stanza.line.index + 1,
      text: stanza.line.words.join(' '),
      why: `${old.why}, and the configuration says ${old.name}`,
    },
  ];
}

function gatewayFaults(path: string, text: string): NetworkFault[] {
  return stanzasOf(text).flatMap((stanza): NetworkFault[] => {
    const line = optionOf(stanza, 'gateway');
    const own = addressOf(stanza);
    const gateway = line?.words[1] ?? '';
    if (line === null || own === null || gateway === 'auto') return [];
    // One outside is reached where the stanza itself makes a way to it.
    if (
      isInNetwork(gateway, own) ||
      stanza.options.some(({ words }) => words.includes(gateway) && words !== line.words)
    )
      return [];
    return [
      {
        rule: 'net.gateway',
        severity: 'critical',
        file: path,
        line: line.index + 1,
        text: line.words.join(' '),
        why: `the gateway ${gateway} lies outside of the network ${own.address}/${own.prefix}`,
      },
    ];
  });
}

/** The stanza that the facts of the order are about says what they say. */
function withFacts(
  text: string,
  { interface: name, address, gateway }: NetworkLook['facts'],
  fileCount: number,
): string {
  let after = text;
  for (const fact of ['address', 'gateway'] as const) {
    const value = { address, gateway }[fact];
    if (value === undefined) continue;
    const family = isIPv4(value.split('/', 1)[0]!) ? 'inet' : 'inet6';
    const own = stanzasOf(after).filter(
      (one) =>
        one.family === family && one.name !== 'lo' && (name === undefined || one.name === name),
    );
    // Which of several is meant is not guessed.
    if (
      own.length !== 1 ||
      (name === undefined && fileCount > 1 && hardwareNames([after]).length !== 1)
    )
      continue;
    after =
      fact === 'address'
        ? withAddress(after, own[0]!, value)
        : withOption(after, own[0]!, 'gateway', value);
  }
  return after;
}

function withAddress(text: string, stanza: Stanza, value: string): string {
  const { address, prefix } = parseInterfaceAddress(value)!;
  const now = addressOf(stanza);
  if (now?.address === address && now.prefix === prefix && stanza.method === 'static') return text;
  const isStatic = text
    .split('\n')
    .map((line, at) => (at === stanza.line.index ? line.replace(stanza.method, 'static') : line))
    .join('\n');
  const mask = optionOf(stanza, 'netmask');
  if (mask === null) return withOption(isStatic, stanza, 'address', value);
  const written =
    mask.words[1]?.includes('.') === true && isIPv4(address)
      ? maskOfPrefix(prefix)
      : String(prefix);
  return withOption(withOption(isStatic, stanza, 'netmask', written), stanza, 'address', address);
}

/** One option of a stanza, changed where it stands or put right behind its first line. */
function withOption(text: string, stanza: Stanza, name: string, value: string): string {
  const lines = text.split('\n');
  const line = optionOf(stanza, name);
  if (line === null) {
    return lines.toSpliced(stanza.line.index + 1, 0, `    ${name} ${value}`).join('\n');
  }
  if (line.words[1] === value) return text;
  return lines
    .with(line.index, lines[line.index]!.replace(/^(\s*\S+\s+)\S+/, `$1${value}`))
    .join('\n');
}
