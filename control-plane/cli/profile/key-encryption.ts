import { CliError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';

const BEGIN = '-----BEGIN AGE ENCRYPTED FILE-----';
/** 2^17 rounds of scrypt: half a second and 128 MiB for each guess. */
const SCRYPT_LOG_N = 17;

export function isEncrypted(content: string): boolean {
  return content.startsWith(BEGIN);
}

/** An armored age file (age-encryption.org/v1) that opens with the passphrase. */
export async function encryptKey(
  pem: string,
  passphrase: string,
  scryptLogN = SCRYPT_LOG_N,
): Promise<string> {
  const { armor, Encrypter } = await import('age-encryption');
  const encrypter = new Encrypter();
  encrypter.setScryptWorkFactor(scryptLogN);
  encrypter.setPassphrase(passphrase);
  return armor.encode(await encrypter.encrypt(pem));
}

/** Throws CliError when the passphrase is wrong or the file damaged. */
export async function decryptKey(
  content: string,
  passphrase: string,
  name: string,
): Promise<string> {
  const { armor, Decrypter } = await import('age-encryption');
  const decrypter = new Decrypter();
  decrypter.addPassphrase(passphrase);
  try {
    return await decrypter.decrypt(armor.decode(content), 'text');
  } catch (cause) {
    throw new CliError({
      code: 'passphrase_wrong',
      happened: `The key "${name}" does not open with this passphrase.`,
      safe: 'Nothing was signed.',
      exitStatus: exitStatus.refused,
      cause,
    });
  }
}
