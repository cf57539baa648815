import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';

const text = (most: number) => z.string().max(most);

/** A name of passwd(5); nothing a program could take for an option or a path fits. */
const user = z
  .string()
  .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/, 'is no name of a user, such as root');

const shell = absolutePath
  .optional()
  .describe('the shell the account gets, such as /bin/bash; its own, or bash where that is broken');

const backupDirectory = absolutePath
  .optional()
  .describe('where the old files are kept; in a rescue system a folder on a durable disk');

/** Files that a job has changed, by path. */
const changedFiles = z.array(text(4096)).max(256);

export const resetPasswordResult = z.strictObject({
  outcome: z.enum(['password_set', 'key_installed', 'nothing_to_do', 'rolled_back', 'restored']),
  user: text(32),
  /** How the password was hashed; null where none was set. */
  method: z.enum(['sha512', 'yescrypt']).nullable(),
  /** To whom it was sealed; null where none was made. */
  sealedTo: text(100).nullable(),
  /** Fingerprint of the key that was let in; null where none was. */
  key: text(100).nullable(),
  files: changedFiles,
  detail: text(2000),
});
export type ResetPasswordResult = z.output<typeof resetPasswordResult>;

export const resetPasswordParameters = z.strictObject({
  user: user.default('root').describe('whose password'),
  changeAtLogin: z
    .boolean()
    .default(false)
    .describe('whether a new password must be chosen at the first log-in'),
  shell,
  backupDirectory,
});

/**
 * The class is C because who holds the new secret is root, or the user, from then on. To whom it is sealed,
 * or which key is let in instead, the grant alone says.
 */
export const accessResetPassword: ActionDeclaration = {
  id: 'access.reset-password',
  version: 1,
  title: 'Reset a password',
  sentence:
    'Give a user a new password, which is made on your server and sealed to you alone; or let in the SSH key that you named. The old password can be put back.',
  class: 'C',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: resetPasswordParameters,
  result: resetPasswordResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds',
  capabilities: ['host'],
  offline: { capabilities: ['disks'] },
};

const address = z.union([z.ipv4(), z.ipv6()], 'is no IP address');

export const restoreSshParameters = z.strictObject({
  user: user
    .optional()
    .describe('who must get in; where nobody is named it is enough that somebody does'),
  key: z
    .string()
    .max(2048)
    .regex(
      /^(?:ssh|ecdsa|sk)-[a-z0-9@.-]+ [A-Za-z0-9+/]+=*(?: [^\p{Cc}]*)?$/u,
      'is no line of a public key, such as ssh-ed25519 AAAA… name',
    )
    .optional()
    .describe('public SSH key to let in, one line; the grant must name it'),
  passwords: z
    .boolean()
    .default(false)
    .describe('whether sshd may be set to take passwords where there is no key'),
  port: z.int().min(1).max(65_535).optional().describe('port that sshd must listen on'),
  listenAddress: address
    .optional()
    .describe('address that sshd must listen at; 0.0.0.0 and :: are all'),
  from: address.optional().describe('address that the person comes from'),
  backupDirectory,
});
export type RestoreSshParameters = z.output<typeof restoreSshParameters>;

export const restoreSshResult = z.strictObject({
  /** `incomplete`: what could be repaired is, but something is left that a person must decide. */
  outcome: z.enum(['repaired', 'nothing_to_do', 'incomplete', 'rolled_back', 'restored']),
  files: changedFiles,
  /** Host keys that were made; clients know the server by the old ones. */
  newHostKeys: z
    .array(z.strictObject({ path: text(4096), type: text(20), fingerprint: text(100) }))
    .max(16),
  left: z.array(text(500)).max(20),
  /** Where sshd answered afterwards; null on disks. */
  answersAt: text(100).nullable(),
  detail: text(2000),
});
export type RestoreSshResult = z.output<typeof restoreSshResult>;

export const accessRestoreSsh: ActionDeclaration = {
  id: 'access.restore-ssh',
  version: 1,
  title: 'Restore SSH',
  sentence:
    'Repair what keeps people from logging in over SSH: the configuration of the daemon, its keys, its start, permissions. The old files are kept and can be put back.',
  class: 'B',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: restoreSshParameters,
  result: restoreSshResult,
  bringsIn: ['key', 'listenAddress'],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds',
  capabilities: ['host', 'network', 'runs-target-programs'],
  offline: { capabilities: ['disks', 'runs-target-programs'] },
};

const pamModule = z
  .string()
  .regex(/^pam_[a-z0-9_]{1,60}\.so$/, 'is no module of PAM, such as pam_google_authenticator.so');

export const repairAccountsParameters = z
  .strictObject({
    user: user
      .optional()
      .describe(
        'let this user in again with the password it has; else what is broken for everybody',
      ),
    shell,
    withoutModules: z
      .array(pamModule)
      .min(1)
      .max(8)
      .optional()
      .describe('missing modules of PAM that logging in may do without; the grant must name them'),
    backupDirectory,
  })
  .refine(
    ({ user: named, shell: wanted }) => wanted === undefined || named !== undefined,
    'a shell is that of a user: name one',
  );
export type RepairAccountsParameters = z.output<typeof repairAccountsParameters>;

export const repairAccountsResult = z.strictObject({
  outcome: z.enum(['repaired', 'nothing_to_do', 'incomplete', 'rolled_back', 'restored']),
  files: changedFiles,
  left: z.array(text(500)).max(50),
  detail: text(2000),
});
export type RepairAccountsResult = z.output<typeof repairAccountsResult>;

/** Nobody gets a password by it that they had not: what makes one is `access.reset-password`. */
export const accessRepairAccounts: ActionDeclaration = {
  id: 'access.repair-accounts',
  version: 1,
  title: 'Repair accounts',
  sentence:
    'Repair the files of users and passwords, of sudo and of logging in, or let one user in again with the password it has. The old files are kept and can be put back.',
  class: 'B',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: repairAccountsParameters,
  result: repairAccountsResult,
  bringsIn: ['withoutModules'],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds',
  capabilities: ['host', 'runs-target-programs'],
  offline: { capabilities: ['disks', 'runs-target-programs'] },
};
