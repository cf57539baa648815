import { randomBytes } from 'node:crypto';
import { CommandStartError } from '../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { sha512Crypt } from './sha512-crypt.ts';

type Running = Pick<ActionContext, 'run'>;

/** How a hash is made. SHA-512 is checked by every Linux; yescrypt is what newer ones make themselves. */
export type HashMethod = 'sha512' | 'yescrypt';

/** crypt(5): `$y$`, then the cost that libxcrypt takes when nobody says another. */
const YESCRYPT = '$y$j9T$';
const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const PASSWORD_STACKS = ['common-password', 'system-auth', 'password-auth', 'passwd'];
/** Reads setting and password, a line each; what comes with every Debian links libcrypt. */
const PERL = String.raw`my ($s, $p) = <STDIN>; chomp ($s, $p); print crypt($p, $s)`;

/**
 * What the distribution itself would take: pam_unix's word on passwords, else that of /etc/login.defs. Of
 * all others SHA-512 is the stronger one, and accepted as well.
 */
export async function distributionMethod(files: TargetFiles): Promise<HashMethod> {
  for (const stack of PASSWORD_STACKS) {
    const text = (await files.read(`/etc/pam.d/${stack}`).catch(() => null)) ?? '';
    const line = text.split('\n').find((one) => /^\s*-?password\s.*\bpam_unix\.so\b/.test(one));
    if (line === undefined) continue;
    if (/\byescrypt\b/.test(line)) return 'yescrypt';
    if (/\b(?:sha512|sha256|blowfish|md5|gost_yescrypt)\b/.test(line)) return 'sha512';
  }
  const defs = (await files.read('/etc/login.defs').catch(() => null)) ?? '';
  return /^[ \t]*ENCRYPT_METHOD[ \t]+YESCRYPT[ \t]*$/im.test(defs) ? 'yescrypt' : 'sha512';
}

/** The distribution's method where something here can carry it out, else SHA-512. */
export async function usableMethod(context: Running, files: TargetFiles): Promise<HashMethod> {
  if ((await distributionMethod(files)) === 'sha512') return 'sha512';
  const tried = await yescrypt(context, 'a', `${YESCRYPT}${'.'.repeat(22)}`);
  return tried === null ? 'sha512' : 'yescrypt';
}

/** Hashes a new password; it goes to the program that does it by a pipe. */
export async function hashPassword(
  context: Running,
  password: string,
  method: HashMethod,
): Promise<string> {
  if (method === 'sha512') return sha512Crypt(password, encodeSalt(randomBytes(12)));
  const hash = await yescrypt(context, password, YESCRYPT + encodeSalt(randomBytes(16)));
  if (hash === null)
    throw new ActionError('hash_not_made', 'no program here makes yescrypt any more');
  return hash;
}

/** Whether a password is the one of a hash that `hashPassword` made. */
export async function isPasswordOf(
  context: Running,
  password: string,
  hash: string,
): Promise<boolean> {
  if (!hash.startsWith('$6$')) return (await yescrypt(context, password, hash)) === hash;
  return sha512Crypt(password, hash.split('$')[2] ?? '') === hash;
}

/** By libcrypt, which perl reaches. Null where that is not there or does not know yescrypt. */
async function yescrypt(
  context: Running,
  password: string,
  setting: string,
): Promise<string | null> {
  try {
    const done = await context.run(['perl', '-e', PERL], {
      output: 'capture',
      input: `${setting}\n${password}\n`,
    });
    const isHash = /^\$y\$[./0-9A-Za-z]+\$[./0-9A-Za-z]{1,86}\$[./0-9A-Za-z]{43}$/.test(done.out);
    return done.exitStatus === 0 && isHash ? done.out : null;
  } catch (error) {
    if (error instanceof CommandStartError && error.failure === 'not_found') return null;
    throw error;
  }
}

/** As crypt(5) writes bytes: three to four letters, the lowest bits first. */
function encodeSalt(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 3) {
    const group = bytes.subarray(at, at + 3);
    let value = group.reduce((sum, byte, place) => sum | (byte << (8 * place)), 0);
    for (let letters = Math.ceil((group.length * 8) / 6); letters > 0; letters--, value >>>= 6) {
      text += ALPHABET[value & 63];
    }
  }
  return text;
}
