import path from 'node:path';
import { pino } from 'pino';
import { NoDataError } from '../../backup/database-access.ts';
import { BackupExistsError, createBackup, MismatchError } from '../../backup/create-backup.ts';
import type { Lock } from '../../backup/sealing.ts';
import { ConfigError, readSource } from '../../config.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import { glyph, styled } from '../output/terminal.ts';
import { formatBytes } from '../output/time-text.ts';

export interface BackupOptions {
  data?: string;
  databaseUrl?: string;
  recipient?: string[];
  passphraseFile?: string;
  /** False for `--no-encryption`. */
  encryption?: boolean;
}

/** `intervene backup FILE`: everything a control plane is, sealed, in one file. */
export async function backup(
  context: CommandContext,
  [file = '']: string[],
  options: BackupOptions,
): Promise<void> {
  const { terminal, surroundings } = context;
  const source = readSourceOptions(options);
  const lock = await chooseLock(context, options);
  const log = pino({ level: 'silent' });
  const made = await createBackup({
    ...source,
    file: path.resolve(file),
    lock,
    version: surroundings.version,
    log,
  }).catch((error: unknown) => {
    throw asCliError(error);
  });
  if (terminal.json) {
    terminal.printJson({ ...made, sealed: lock.kind !== 'none' });
    return;
  }
  terminal.say(
    glyph('ok', '✓'),
    `${made.file}   ${formatBytes(made.bytes)}   ${made.tables} tables, ${made.takenAt}`,
  );
  terminal.say(`  ${made.digest}   keep it apart from the file: only it proves which one you made`);
  if (lock.kind === 'none') {
    terminal.say(
      glyph('warn', '!'),
      styled('warn', 'It is not sealed: whoever reads it can pose as this control plane.'),
    );
  }
  terminal.say(
    `Next: intervene restore ${made.file} --data DIR${lock.kind === 'none' ? ' --no-encryption' : ''} --digest ${made.digest}   (into an empty folder, to see that it works)`,
  );
}

/** Flags and environment, as `up` reads them. */
export function readSourceOptions(options: { data?: string; databaseUrl?: string }): {
  data: string;
  databaseUrl: string | null;
} {
  try {
    return readSource(options, process.env, process.cwd());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw usageError(`${error.message}.`, [{ label: '', command: 'intervene backup --help' }]);
  }
}

async function chooseLock(context: CommandContext, options: BackupOptions): Promise<Lock> {
  const { recipient = [], passphraseFile, encryption = true } = options;
  const chosen = [recipient.length > 0, passphraseFile !== undefined, !encryption];
  if (chosen.filter(Boolean).length > 1) {
    throw usageError('Give one of --recipient, --passphrase-file and --no-encryption.', []);
  }
  if (!encryption) return { kind: 'none' };
  if (recipient.length > 0) {
    const wrong = recipient.find((text) => !/^age1[a-z0-9]{20,}$/.test(text));
    if (wrong !== undefined) throw usageError(`${wrong} is no age recipient (age1…).`, []);
    return { kind: 'recipients', recipients: recipient };
  }
  const passphrase =
    passphraseFile === undefined
      ? await chooseNewPassphrase(context)
      : readPassphrase(passphraseFile);
  return { kind: 'passphrase', passphrase };
}

export function readPassphrase(file: string): string {
  const passphrase = readNamedText(file).split('\n', 1)[0] ?? '';
  if (passphrase === '') throw usageError(`The first line of ${file} is empty.`, []);
  return passphrase;
}

async function chooseNewPassphrase({ prompt }: CommandContext): Promise<string> {
  const flags = '--recipient AGE, --passphrase-file FILE or --no-encryption';
  const first = await prompt.askHidden(['Passphrase that will open it: '], flags);
  if (first === '') throw usageError('An empty passphrase protects nothing.', [], 'no_passphrase');
  const second = await prompt.askHidden(['The same again: '], flags);
  if (first !== second) throw usageError('The two differ.', [], 'passphrases_differ');
  return first;
}

function asCliError(error: unknown): Error {
  const happened = `No backup was made: ${error instanceof Error ? error.message : String(error)}.`;
  const known =
    error instanceof NoDataError || error instanceof MismatchError
      ? {
          code: 'backup_refused',
          label: 'say which control plane',
          command: 'intervene backup FILE --data DIR',
        }
      : error instanceof BackupExistsError
        ? { code: 'file_exists', label: 'choose another name', command: 'intervene backup FILE' }
        : {
            code: 'backup_failed',
            label: 'run it as the user that the control plane runs as',
            command: 'intervene backup FILE --data DIR',
          };
  return new CliError({
    code: known.code,
    happened,
    safe: 'Nothing was changed, and no file was left that could be taken for a backup.',
    next: [{ label: known.label, command: known.command }],
    exitStatus: exitStatus.failed,
    cause: error,
  });
}
