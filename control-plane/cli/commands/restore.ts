import { shell } from '../../../proto/documents/command-text.ts';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { pino } from 'pino';
import { DigestMismatchError, FILE_DIGEST, requireDigest } from '../../backup/file-digest.ts';
import { BackupDamagedError } from '../../backup/frames.ts';
import { BackupNewerError, NotEmptyError, restoreBackup } from '../../backup/restore-backup.ts';
import { BackupLockedError, BackupNotSealedError, isSealed } from '../../backup/sealing.ts';
import type { Key } from '../../backup/sealing.ts';
import { DataFolderInUseError } from '../../data-folder.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import { glyph, styled } from '../output/terminal.ts';
import { readPassphrase, readSourceOptions } from './backup.ts';

export interface RestoreCommandOptions {
  data?: string;
  databaseUrl?: string;
  identityFile?: string;
  passphraseFile?: string;
  /** False for `--no-encryption`. */
  encryption?: boolean;
  digest?: string;
}

/** `intervene restore FILE`: a control plane from a backup, in a place where there is none. */
export async function restore(
  context: CommandContext,
  [named = '']: string[],
  options: RestoreCommandOptions,
): Promise<void> {
  const { terminal } = context;
  const file = path.resolve(named);
  if (!existsSync(file)) throw usageError(`There is no file ${file}.`, []);
  const source = readSourceOptions(options);
  const digest = options.digest ?? null;
  if (digest !== null) {
    if (!FILE_DIGEST.test(digest)) {
      throw usageError('--digest is sha256: and 64 digits, as `intervene backup` printed it.', []);
    }
    await requireDigest(file, digest).catch((error: unknown) => {
      throw asCliError(error, source.data);
    });
  }
  const key = await chooseKey(context, file, options);
  const log = pino({ level: 'silent' });
  const restored = await restoreBackup({ ...source, file, key, digest, log }).catch(
    (error: unknown) => {
      throw asCliError(error, source.data);
    },
  );
  if (terminal.json) {
    terminal.printJson({ ...restored, data: source.data });
    return;
  }
  const { tables, files, auditEntries, asked, takenAt } = restored;
  terminal.say(
    glyph('ok', '✓'),
    `${source.data}   ${tables} tables, ${files.length} files, as of ${takenAt}`,
  );
  terminal.say(`  every audit chain holds: ${auditEntries} entries`);
  if (asked > 0) terminal.say(`  ${asked} waiting jobs: their agents are asked whether they ran`);
  terminal.say(
    glyph('warn', '!'),
    styled(
      'warn',
      `What was done since then is not here. People and tokens that were removed since are back: remove them again.`,
    ),
  );
  terminal.say('  Agents keep what was revoked, and no order runs a second time.');
  terminal.sayNext(shell`intervene up --data ${source.data}`);
}

async function chooseKey(
  { prompt }: CommandContext,
  file: string,
  options: RestoreCommandOptions,
): Promise<Key | null> {
  const { identityFile, passphraseFile, encryption = true } = options;
  const chosen = [identityFile !== undefined, passphraseFile !== undefined, !encryption];
  if (chosen.filter(Boolean).length > 1) {
    throw usageError('Give one of --identity-file, --passphrase-file and --no-encryption.', []);
  }
  if (!encryption) return null;
  if (!chosen.includes(true) && !(await isSealed(file))) {
    throw usageError(`${file} is not sealed: anybody can have made it, or changed it.`, [
      {
        label: 'if it was made like that, compare it',
        command: 'intervene restore FILE --no-encryption --digest sha256:…',
      },
    ]);
  }
  if (identityFile !== undefined) {
    const identities = readNamedText(identityFile)
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
    if (identities.length === 0) throw usageError(`There is no identity in ${identityFile}.`, []);
    return { kind: 'identities', identities };
  }
  const flags = '--identity-file FILE or --passphrase-file FILE';
  const passphrase =
    passphraseFile === undefined
      ? await prompt.askHidden(['Passphrase of the backup: '], flags)
      : readPassphrase(passphraseFile);
  return { kind: 'passphrase', passphrase };
}

function asCliError(error: unknown, data: string): Error {
  const why = error instanceof Error ? error.message : String(error);
  const [code, happened, label, command] =
    error instanceof NotEmptyError
      ? [
          'not_empty',
          `Nothing is restored over something else: ${why}.`,
          'choose an empty place',
          'intervene restore FILE --data DIR',
        ]
      : error instanceof DigestMismatchError
        ? [
            'digest_mismatch',
            `It is not the backup that was made: ${why}.`,
            'take the one that was',
            'intervene restore FILE --digest sha256:…',
          ]
        : error instanceof BackupNotSealedError
          ? [
              'backup_not_sealed',
              `A key was given, and the backup needs none: ${why}. It may have been put in the place of yours.`,
              'take the sealed one',
              'intervene restore FILE --passphrase-file FILE',
            ]
          : error instanceof BackupLockedError
            ? [
                'backup_locked',
                `The backup cannot be opened: ${why}.`,
                'give its key',
                'intervene restore FILE --identity-file FILE',
              ]
            : error instanceof BackupNewerError
              ? [
                  'backup_newer',
                  `The backup is not read: ${why}.`,
                  'use a program as new as that',
                  'intervene --version',
                ]
              : error instanceof BackupDamagedError
                ? [
                    'backup_damaged',
                    `The backup is damaged: ${why}.`,
                    'take another one',
                    'intervene restore FILE',
                  ]
                : error instanceof DataFolderInUseError
                  ? [
                      'restore_running',
                      `Another restore is under way for ${data}.`,
                      'wait for it',
                      'intervene restore FILE',
                    ]
                  : [
                      'restore_failed',
                      `Nothing was restored: ${why}.`,
                      'see its settings',
                      'intervene restore --help',
                    ];
  return new CliError({
    code: code!,
    happened: happened!,
    safe: 'The backup is untouched, and no control plane was made.',
    next: [{ label: label!, command: command! }],
    exitStatus: exitStatus.failed,
    cause: error,
  });
}
