import type { CommandDeclaration } from '../declaration.ts';

/** Keys, permissions, and the check of what was done with them. */
export const authorizationCommands: readonly CommandDeclaration[] = [
  {
    name: 'keys create',
    summary: 'make a signing key; for a client also a recovery key on paper',
    examples: [
      'intervene keys create',
      'intervene keys create --passphrase-file FILE --recovery-out recovery.txt',
    ],
    options: [
      { flags: '--name <name>', text: 'name of the key on this machine' },
      { flags: '--no-passphrase', text: 'protect the key by its file mode alone' },
      {
        flags: '--recovery-out <file>',
        text: 'write the recovery key there instead of showing it',
      },
      {
        flags: '--recovery-key-file <file>',
        text: 'sign with the recovery key: all others are lost',
      },
      {
        flags: '--remove <fingerprint>',
        text: 'a key the account gives up; may be given several times',
        many: true,
      },
    ],
    signs: true,
    load: async () => (await import('../commands/keys.ts')).createKey,
  },
  {
    name: 'keys rotate',
    summary: "replace this machine's signing key of the account by a new one",
    examples: ['intervene keys rotate', 'intervene keys rotate --name signing-2027'],
    options: [
      { flags: '--name <name>', text: 'name of the new key on this machine' },
      { flags: '--no-passphrase', text: 'protect the key by its file mode alone' },
    ],
    signs: true,
    load: async () => (await import('../commands/keys.ts')).rotateKey,
  },
  {
    name: 'keys recover',
    summary: 'all keys are lost: the one on paper makes new ones, and ends the others',
    examples: [
      'intervene keys recover --recovery-key-file recovery.txt',
      'intervene keys recover --recovery-key-file - --keep SHA256:mJ4…',
    ],
    options: [
      {
        flags: '--recovery-key-file <file>',
        text: 'the recovery key as it was printed; - for standard input',
        required: true,
      },
      {
        flags: '--keep <fingerprint>',
        text: 'a signing key that is not lost; may be given several times',
        many: true,
      },
      {
        flags: '--recovery-out <file>',
        text: 'write the new recovery key there instead of showing it',
      },
      { flags: '--name <name>', text: 'name of the new key on this machine' },
      { flags: '--no-passphrase', text: 'protect the key by its file mode alone' },
    ],
    signs: true,
    load: async () => (await import('../commands/keys.ts')).recoverKeys,
  },
  {
    name: 'keys list',
    summary: 'list the keys of this profile',
    examples: ['intervene keys list', 'intervene keys list --profile client --json'],
    load: async () => (await import('../commands/keys.ts')).listKeys,
  },
  {
    name: 'keys export',
    args: '[name]',
    summary: 'print the public part of a key',
    examples: ['intervene keys export > engineer.pub', 'intervene keys export signing'],
    load: async () => (await import('../commands/keys.ts')).exportKey,
  },
  {
    name: 'authorize',
    args: '[servers...]',
    summary: 'permit engineers to act on your server (as the client)',
    examples: [
      "intervene authorize web-04 --ticket T-8817 --actions 'filesystem.*' --for 4h",
      'intervene authorize --extend G-311 --for 2h',
    ],
    options: [
      { flags: '--ticket <ticket>', text: 'the ticket it is for' },
      {
        flags: '--actions <list>',
        text: "what is permitted: 'filesystem.*,command.run'",
        many: true,
      },
      {
        flags: '--for <time>',
        text: '30m, 4h; 24h at most (default 4h); with --extend: longer by',
      },
      {
        flags: '--highest-class <class>',
        text: 'A reads, B changes reversibly, C all (default: what the actions need)',
        choices: ['A', 'B', 'C'],
      },
      {
        flags: '--limit <[action:]parameter=value>',
        text: 'only with this value; may be given several times',
        many: true,
      },
      {
        flags: '--engineer <fingerprint>',
        text: 'only engineers with these keys; may be given several times',
        many: true,
      },
      {
        flags: '--class-c-engineers <number>',
        text: 'who must sign class C (default 1)',
        integer: true,
      },
      { flags: '--accept-no-undo', text: 'also what cannot be taken back' },
      { flags: '--ssh-key-file <file>', text: 'your public SSH key, for restored access' },
      {
        flags: '--age-recipient <recipient>',
        text: "where a new password is sealed to (default: this profile's own key)",
      },
      { flags: '--no-credentials', text: 'no new password is handed out to anybody' },
      { flags: '--backup <answer>', text: 'is there a backup?', choices: ['yes', 'no', 'unsure'] },
      { flags: '--interruption <answer>', text: 'may it be offline?', choices: ['yes', 'no'] },
      { flags: '--extend <grant>', text: 'permit the same again, --for so much longer' },
      { flags: '--key <name>', text: 'which key signs' },
      { flags: '--yes', text: 'sign without asking; the text is printed all the same' },
    ],
    signs: true,
    load: async () => (await import('../commands/authorize.ts')).authorize,
  },
  {
    name: 'attest',
    args: '[servers...]',
    summary: "record the client's written permission on the ticket (as an engineer; rescue only)",
    examples: [
      "intervene attest web-04 --ticket T-8817 --actions 'filesystem.*' --words-file mail.txt --why 'has no keys yet'",
      "intervene attest web-04 --ticket T-8817 --actions 'diagnostics.*' --words-file - --why 'on the telephone'",
    ],
    options: [
      { flags: '--ticket <ticket>', text: 'the ticket it is for' },
      { flags: '--words-file <file>', text: 'what the client wrote; - for standard input' },
      { flags: '--why <text>', text: 'why the client did not sign' },
      {
        flags: '--actions <list>',
        text: "what is permitted: 'filesystem.*,command.run'",
        many: true,
      },
      { flags: '--for <time>', text: '30m, 4h; 24h at most (default 4h)' },
      {
        flags: '--highest-class <class>',
        text: 'A reads, B changes reversibly, C all (default: what the actions need)',
        choices: ['A', 'B', 'C'],
      },
      {
        flags: '--limit <[action:]parameter=value>',
        text: 'only with this value; may be given several times',
        many: true,
      },
      { flags: '--accept-no-undo', text: 'also what cannot be taken back' },
      { flags: '--ssh-key-file <file>', text: "the client's public SSH key, for restored access" },
      { flags: '--backup <answer>', text: 'is there a backup?', choices: ['yes', 'no', 'unsure'] },
      { flags: '--interruption <answer>', text: 'may it be offline?', choices: ['yes', 'no'] },
      { flags: '--key <name>', text: 'which key signs (default engineer)' },
      { flags: '--yes', text: 'sign without asking; the text is printed all the same' },
    ],
    signs: true,
    load: async () => (await import('../commands/attest.ts')).attest,
  },
  {
    name: 'revoke',
    args: '<grant>',
    summary: 'take a permission back and stop what runs under it',
    examples: ['intervene revoke G-311', 'intervene revoke G-311 --after-step'],
    options: [
      { flags: '--after-step', text: 'let the step that runs end first' },
      { flags: '--reason <text>', text: 'kept in the signed document' },
      { flags: '--yes', text: 'do not ask' },
    ],
    signs: true,
    load: async () => (await import('../commands/revoke.ts')).revoke,
  },
  {
    name: 'verify',
    args: '<pack>',
    summary: 'check what was done, offline, with nothing but the pinned keys',
    examples: [
      'intervene verify 1042.pack',
      'intervene verify 1042.pack --root sha256:… --account-keys sha256:… --log 1042-3.log',
    ],
    options: [
      { flags: '--root <digest>', text: "the operator root; this profile's pin without it" },
      {
        flags: '--account-keys <digest>',
        text: "the account's keys; this profile's pin without it",
      },
      {
        flags: '--agent <fingerprint>',
        text: 'the agent must have this key, as intervene-agent status shows it; may be given several times',
        many: true,
      },
      {
        flags: '--log <file>',
        text: 'a log that logs --save wrote; may be given several times',
        many: true,
      },
    ],
    load: async () => (await import('../commands/verify.ts')).verify,
  },
];
