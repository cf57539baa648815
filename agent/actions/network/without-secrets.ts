import { differsInOneLetter } from '../files/misspelling.ts';

/**
 * How names of settings end whose values are secret, digits and what stands between words left out: of interfaces(5)
 * with wpasupplicant and wireless-tools, netplan(5), keyfiles of NetworkManager (nm-settings(5) says which),
 * systemd.netdev(5) and wpa_supplicant.conf(5). `key-mgmt`, `psk-flags` and `PrivateKeyFile` do not end so.
 */
const SECRET =
  /(?:password|passwordraw|passwd|passphrase|pass|pwd|pw|psk|secrets?|pin|puk|cak|milenage|keys?|private|shared)$/;
/** What everybody may know. */
const PUBLIC = /(?:public|pub)keys?$/;
/** Also misspelt, as the last word of a name: a misspelt line is what findings show. */
const MISSPELT = ['password', 'passphrase', 'passwd', 'pass', 'private', 'secret', 'psk', 'key'];
/** Their values are words of a list, some of which sound like secrets: `key_mgmt=WPA-PSK WPA-EAP`. */
const LISTED = /(?:mgmt|management|authalg|method|flags|type|proto|pairwise|group|eap|phase)$/;
/** Lines of interfaces(5) that are commands, whose words may mean anything. */
const COMMAND = /^\s*(?:(?:pre|post)-)?(?:up|down)\s/;
const IN_COMMANDS = /pass|psk|secret|key|auth|wep|private|shared|token|^enc$/i;
/** A section of a keyfile in which every value is secret. */
const SECRETS_SECTION = /^\[vpn-secrets\]/;
/** What is longer is no line that people write, and is not shown. */
const LINE_MAX = 4096;
const DIGITS = /(?<!\d)\d+$/;
/** A file's name: keys in base64 hold no dot. */
const KEY_FILE = /^\s*(?:[=:]\s*)?(["']?)(?:file:\/\/)?\/[^"']*\.(?:pem|key|der|p12|pfx)\1$/;

/**
 * Configuration of a network in which … stands for what is secret: what follows the name of a secret on its line,
 * and lines that belong to it, as YAML, keyfiles and interfaces(5) have them. Every line stays the line it is.
 */
export function withoutSecrets(text: string): string {
  /** Of the line with the secret that the next ones may belong to. */
  let indent: number | null = null;
  let isContinued = false;
  let isInSecrets = false;
  return text
    .split('\n')
    .map((line) => {
      const own = line.search(/\S/);
      if (own < 0) return line;
      if (line[own] === '[') isInSecrets = SECRETS_SECTION.test(line.trim());
      const isBelow = indent !== null && own > indent;
      if (isBelow && !isContinued && isPublic(line)) return line;
      if (isContinued || isBelow) {
        isContinued &&= line.endsWith('\\');
        return `${line.slice(0, own)}…`;
      }
      const isLong = line.length > LINE_MAX;
      const end = isLong ? own : isInSecrets ? endOfAnyName(line) : endOfName(line);
      indent = end === null ? null : own;
      isContinued = end !== null && line.endsWith('\\');
      return end === null ? line : line.slice(0, end) + valueHidden(line.slice(end));
    })
    .join('\n');
}

/** Where the first name of a secret ends. */
function endOfName(line: string): number | null {
  const words = [...line.matchAll(/[\w.-]+/g)];
  if (COMMAND.test(line)) {
    const found = words.find(([word]) => IN_COMMANDS.test(word) || isSecret(word));
    return found === undefined ? null : found.index + found[0].length;
  }
  const isListed = LISTED.test(compact(words[0]?.[0] ?? ''));
  for (const [at, { 0: word, index }] of words.entries()) {
    const end = index + word.length;
    const isNamed = /^["']?\s*[:=]/.test(line.slice(end));
    // Of a list only what is a name by its form; else also what a name may have become by a mistake.
    const mayBeName = isNamed || at === 0 || !(isListed || isValue(line, index));
    if (!mayBeName || !isSecret(word)) continue;
    const isKeyFile = /key\d*$/i.test(word) && KEY_FILE.test(line.slice(end));
    if (!isKeyFile) return end;
  }
  return null;
}

/** Whether it stands behind `=` or `:` as a value, or a further word of one, and no `{` or `,` begins a name there. */
function isValue(line: string, index: number): boolean {
  const before = line.slice(0, index);
  return /[:=][^{}[\],:=]*$/.test(before);
}

function endOfAnyName(line: string): number | null {
  const end = line.search(/[=:]/);
  return end < 0 ? null : end;
}

function isSecret(word: string): boolean {
  const name = compact(word);
  if (PUBLIC.test(name)) return false;
  const last = word.toLowerCase().replace(DIGITS, '').split(/[-_.]/).at(-1) ?? '';
  return SECRET.test(name) || MISSPELT.some((one) => differsInOneLetter(last, one));
}

/** `wep_key0`, `WEPKey` and `wep-key` are one name. */
function compact(word: string): string {
  return word.toLowerCase().replace(DIGITS, '').replaceAll(/[-_.]/g, '');
}

function isPublic(line: string): boolean {
  const [, name] = /^\s*["']?([\w.-]+)["']?\s*[:=]/.exec(line) ?? [];
  return name === 'public';
}

function valueHidden(rest: string): string {
  const [lead] = /^["']?\s*[:=]?\s*/.exec(rest)!;
  return ['', ']'].includes(rest.slice(lead.length)) ? rest : `${lead}…`;
}
