import type { CommandDeclaration } from '../declaration.ts';

/** Secrets between the client and the servers, which nobody in between can read. */
export const credentialCommands: readonly CommandDeclaration[] = [
  {
    name: 'credentials give',
    args: '<server>',
    summary:
      'give a secret to the agent of your server, for one action under one permission, as often as it is ' +
      'ordered until the permission ends or it is withdrawn (as the client)',
    examples: [
      'intervene credentials give web-04 --name stdin --grant G-311 --action command.run',
      'intervene credentials give web-04 --name disk-key --action boot.repair-fstab',
    ],
    options: [
      { flags: '--name <input>', text: 'which secret of the action it is', required: true },
      { flags: '--grant <grant>', text: 'under which permission (default: the only one it fits)' },
      { flags: '--action <action>', text: 'for which action (default: the only one it fits)' },
      {
        flags: '--from-file <file>',
        text: 'the secret, byte for byte; - for standard input (default: ask, without showing it)',
      },
      {
        flags: '--recipient <age>',
        text: 'the agent must be this one, as intervene-agent trust on the server shows it',
      },
      { flags: '--key <name>', text: 'which key signs' },
      { flags: '--yes', text: 'do not ask' },
    ],
    signs: true,
    load: async () => (await import('../commands/credentials-give.ts')).giveCredential,
  },
  {
    name: 'credentials list',
    summary: 'which secrets were given and made, and whether they were opened; never what they are',
    examples: ['intervene credentials list', 'intervene credentials list --job 1042/3'],
    options: [
      { flags: '--server <server>', text: 'of this server' },
      { flags: '--job <job>', text: 'made by this job, or used by it' },
      { flags: '--all', text: 'also those that are withdrawn or over' },
    ],
    load: async () => (await import('../commands/credentials.ts')).listCredentials,
  },
  {
    name: 'credentials open',
    args: '<job-or-credential>',
    summary: 'open a secret that a job made for you; it can be opened once (as the client)',
    examples: [
      'intervene credentials open 1042/3',
      'intervene credentials open C-101 --output password.txt',
    ],
    options: [
      { flags: '--name <name>', text: 'which one, where the job made several' },
      {
        flags: '--output <file>',
        text: 'a new file that only you may read, instead of the screen',
      },
      {
        flags: '--identity-file <file>',
        text: 'an age identity (AGE-SECRET-KEY-1…) instead of the key of this profile',
      },
      { flags: '--unproven', text: 'also where nothing proves that the agent made it' },
      { flags: '--yes', text: 'do not ask' },
    ],
    signs: true,
    load: async () => (await import('../commands/credentials-open.ts')).openCredential,
  },
  {
    name: 'credentials withdraw',
    args: '<credential>',
    summary: 'take back a secret that was given',
    examples: [
      'intervene credentials withdraw C-101',
      'intervene credentials withdraw C-101 --json',
    ],
    signs: true,
    load: async () => (await import('../commands/credentials.ts')).withdrawCredential,
  },
];
