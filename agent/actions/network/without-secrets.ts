import { differsInOneLetter } from '../files/misspelling.ts';

/** In any part of a name: wpa-psk, private-key-password, preshared-key, IPSec secret, client-key. */
const WITHIN = /pass|psk|secret|key|auth|wep|private|shared|token/i;
const PARTS = ['pin', 'puk', 'pw', 'pwd'];
/** Also misspelt: a misspelt line is what findings show. */
const MISSPELT = ['password', 'passphrase', 'passwd', 'pass', 'private', 'secret', 'psk', 'key'];

/**
 * Configuration of a network in which … stands for what is secret: what follows the name of a secret on its line,
 * and lines that belong to it, as YAML, keyfiles and interfaces(5) have them. Every line stays the line it is. It
 * covers too much rather than too little.
 */
export function withoutSecrets(text: string): string {
  /** Of the line with the secret that the next ones may belong to. */
  let indent: number | null = null;
  let isContinued = false;
  return text
    .split('\n')
    .map((line) => {
      const own = line.search(/\S/);
      if (own < 0) return line;
      if (isContinued || (indent !== null && own > indent)) {
        isContinued &&= line.endsWith('\\');
        return `${line.slice(0, own)}…`;
      }
      const end = endOfName(line);
      indent = end === null ? null : own;
      isContinued = end !== null && line.endsWith('\\');
      return end === null ? line : line.slice(0, end) + valueHidden(line.slice(end));
    })
    .join('\n');
}

/** Where the first name of a secret ends. */
function endOfName(line: string): number | null {
  for (const { 0: word, index } of line.matchAll(/[\w.-]+/g)) {
    if (isSecret(word)) return index + word.length;
  }
  return null;
}

function isSecret(word: string): boolean {
  return (
    WITHIN.test(word) ||
    word
      .toLowerCase()
      .split(/[-_.]/)
      .some(
        (part) => PARTS.includes(part) || MISSPELT.some((name) => differsInOneLetter(part, name)),
      )
  );
}

function valueHidden(rest: string): string {
  const [lead] = /^["']?\s*[:=]?\s*/.exec(rest)!;
  return ['', ']'].includes(rest.slice(lead.length)) ? rest : `${lead}…`;
}
