import { z } from 'zod';
import { digest } from '../proto/documents/fields.ts';
import { serverAddress } from './config.ts';

/** What a rescue image is told when it boots. */
export interface BootParameters {
  /** Addresses of the control plane. */
  addresses: string[];
  /** SHA-256 of the public key of its certificate authority. */
  authority: string;
  /** One-use enrolment token. */
  token: string;
  /** Digest of the voucher that says whom to trust; null when none was given. */
  voucher: string | null;
}

/** Thrown for a command line that has the agent's words but not as they must be. */
export class BootParametersError extends Error {
  override name = 'BootParametersError';
}

const PREFIX = 'intervene.';
const schema = z.strictObject({
  server: z
    .string()
    .transform((text) => text.split(','))
    .pipe(z.array(serverAddress).min(1).max(16)),
  ca: digest,
  token: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'not a token'),
  voucher: digest.optional(),
});

/**
 * Finds `intervene.server= ca= token= voucher=` in a kernel command line (`/proc/cmdline`, see
 * bootparam(7)): words separated by white space, a value optionally in double quotes; the rest belongs to
 * others. Null when none of them is there. A word given twice is refused, because whoever appended the
 * second one must not win. Throws BootParametersError.
 */
export function parseKernelCommandLine(line: string): BootParameters | null {
  const found = new Map<string, string>();
  for (const word of splitWords(line)) {
    // After `--` words are for init, not for us.
    if (word === '--') break;
    const equals = word.indexOf('=');
    if (equals === -1 || !word.startsWith(PREFIX)) continue;
    const name = word.slice(PREFIX.length, equals);
    if (!Object.hasOwn(schema.shape, name)) {
      throw new BootParametersError(`${PREFIX}${name} is unknown`);
    }
    if (found.has(name)) throw new BootParametersError(`${PREFIX}${name} stands twice`);
    found.set(name, word.slice(equals + 1));
  }
  if (found.size === 0) return null;
  const checked = schema.safeParse(Object.fromEntries(found));
  if (!checked.success) {
    const issue = checked.error.issues[0]!;
    throw new BootParametersError(`${PREFIX}${issue.path.join('.')}: ${issue.message}`);
  }
  const { server, ca, token, voucher } = checked.data;
  return { addresses: server, authority: ca, token, voucher: voucher ?? null };
}

/** As the kernel does it: quotes group, and are not part of the value. */
function splitWords(line: string): string[] {
  const words: string[] = [];
  for (const match of line.trim().matchAll(/(?:[^\s"]|"[^"]*"?)+/g)) {
    words.push(match[0].replaceAll('"', ''));
  }
  return words;
}
