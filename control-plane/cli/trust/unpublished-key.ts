import { rmSync } from 'node:fs';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';

/** A signing key of this profile that is made, or about to be, for account keys that are not known to be published. */
export interface UnpublishedKey {
  name: string;
  /** Where its recovery key was to be written. */
  recoveryOut?: string | undefined;
}

/** What an earlier attempt has left; null when it left no key. */
export async function unpublishedKey(context: CommandContext): Promise<UnpublishedKey | null> {
  const { unpublishedKey: left } = context.profile.require();
  if (left == null || !(await context.keys()).has(left.name)) return null;
  return left;
}

/** The recovery key of an attempt whose account keys did not arrive counts for nothing: its file may be made anew. */
export function forgetRecovery({ recoveryOut }: UnpublishedKey, wanted: string | undefined): void {
  if (recoveryOut !== undefined && recoveryOut === wanted) rmSync(recoveryOut, { force: true });
}

/**
 * Makes, signs and publishes account keys with a new key, which is remembered before there is any: wherever this
 * ends, the same command goes on with that key. An error says so.
 */
export async function withUnpublished<T>(
  context: CommandContext,
  key: UnpublishedKey,
  body: () => Promise<T>,
): Promise<T> {
  const { profile } = context;
  profile.update({ unpublishedKey: key });
  try {
    return await body();
  } catch (error) {
    const isKept = (await context.keys()).has(key.name);
    if (!isKept) profile.update({ unpublishedKey: null });
    if (!isKept || !(error instanceof CliError)) throw error;
    throw new CliError({
      code: error.code,
      happened: error.message,
      safe:
        `The key "${key.name}" is kept, and the same command goes on with it. It counts, as does a recovery key ` +
        'that was given out with it, only if the account keys have arrived after all: that is told then.',
      next: error.next,
      exitStatus: error.exitStatus,
      cause: error,
    });
  }
}
