import { createHash } from 'node:crypto';
import { closeSync, constants, fstatSync, openSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { parse as parseToml } from 'smol-toml';
import { z } from 'zod';
import { policySchema } from '../../proto/documents/kinds/policy.ts';
import type { Policy } from '../../proto/documents/kinds/policy.ts';

export const POLICY_MAX_BYTES = 64 * 1024;
const WRITABLE_BY_OTHERS = 0o022;
const STICKY = 0o1000;

/** A policy that may be used, or why there is none. */
export type PolicyReading =
  | { usable: true; policy: Policy; digest: string }
  /** `content`: what it says; `file`: whether and by whom it could have been written. */
  | { usable: false; why: string; fault: 'content' | 'file' };

/**
 * The local veto file. It is read again for every order, so that a change by local root holds at once; it
 * counts only when nobody else could have written it.
 */
export class PolicyFile {
  private readonly file: string;
  private readonly owner: number;
  private lastBytes: Buffer | undefined;
  private lastReading: PolicyReading | undefined;

  /** @param owner user id that must own the file; root's */
  constructor(file: string, owner = 0) {
    this.file = file;
    this.owner = owner;
  }

  read(): PolicyReading {
    let bytes: Buffer;
    try {
      bytes = readOwned(this.file, this.owner);
    } catch (error) {
      return { usable: false, why: `${this.file}: ${(error as Error).message}`, fault: 'file' };
    }
    if (this.lastReading === undefined || this.lastBytes?.equals(bytes) !== true) {
      this.lastReading = parsePolicy(this.file, bytes);
      this.lastBytes = bytes;
    }
    return this.lastReading;
  }
}

function parsePolicy(file: string, bytes: Buffer): PolicyReading {
  try {
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    const policy = policySchema.parse(parseToml(text));
    const digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    return { usable: true, policy, digest };
  } catch (error) {
    return { usable: false, why: `${file}: ${describe(error)}`, fault: 'content' };
  }
}

function describe(error: unknown): string {
  if (!(error instanceof z.ZodError)) return (error as Error).message.split('\n')[0]!;
  const issue = error.issues[0]!;
  const known =
    issue.code === 'unrecognized_keys'
      ? `; it may have ${Object.keys(policySchema.shape).join(', ')}`
      : '';
  return `${issue.path.join('.') || 'policy'}: ${issue.message}${known}`;
}

/** Reads a file that only `owner` can have written. Judges what was opened, not what the name means later. */
function readOwned(file: string, owner: number): Buffer {
  requireSafeFolder(path.dirname(file), owner);
  const descriptor = openSync(
    file,
    constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK,
  );
  try {
    const stat = fstatSync(descriptor);
    if (!stat.isFile()) throw new Error('not a regular file');
    if (stat.uid !== owner) throw new Error(`owned by user ${stat.uid}, not ${owner}`);
    if ((stat.mode & WRITABLE_BY_OTHERS) !== 0) throw new Error('others may write it');
    if (stat.size > POLICY_MAX_BYTES) throw new Error(`larger than ${POLICY_MAX_BYTES} bytes`);
    const bytes = Buffer.alloc(stat.size);
    const read = readSync(descriptor, bytes, 0, bytes.length, 0);
    return bytes.subarray(0, read);
  } finally {
    closeSync(descriptor);
  }
}

/** Whoever may rename files in the folder could put another file of root's in place of the policy. */
function requireSafeFolder(folder: string, owner: number): void {
  const stat = statSync(folder);
  if (stat.uid !== owner && stat.uid !== 0) {
    throw new Error(`its folder is owned by user ${stat.uid}, not ${owner}`);
  }
  if ((stat.mode & WRITABLE_BY_OTHERS) !== 0 && (stat.mode & STICKY) === 0) {
    throw new Error('others may write its folder');
  }
}
