import type { CommandDeclaration } from '../declaration.ts';

const noPassphrase = { flags: '--no-passphrase', text: 'protect the key by its file mode alone' };
const validFor = { flags: '--for <time>', text: '12h, 3d; 7d at most (default 12h)' };

const sourceOptions = [
  { flags: '--data <dir>', text: 'data folder (default ./intervene-data)' },
  {
    flags: '--database-url <url>',
    text: 'the PostgreSQL of your own, when it is not the embedded one',
  },
];

/** Starting a control plane, logging in, and the people of the provider. */
export const providerCommands: readonly CommandDeclaration[] = [
  {
    name: 'up',
    summary: 'run the control plane, with its own database',
    examples: [
      'intervene up',
      'intervene up --data /srv/intervene --agent-address cp.example.net:7401',
    ],
    options: [
      { flags: '--data <dir>', text: 'data folder (default ./intervene-data)' },
      { flags: '--listen <host:port>', text: 'REST interface (default 127.0.0.1:7400)' },
      { flags: '--agent-listen <host:port>', text: 'agent listener (default 0.0.0.0:7401)' },
      { flags: '--agent-address <host:port>', text: 'where agents dial, if it differs' },
      { flags: '--public-url <url>', text: 'where people and installers find it' },
      { flags: '--tls-cert <file>', text: 'certificate of the REST interface, PEM' },
      { flags: '--tls-key <file>', text: 'its key, PEM' },
      {
        flags: '--database-url <url>',
        text: 'a PostgreSQL of your own instead of the embedded one',
      },
      {
        flags: '--log-file <file>',
        text: 'where its log goes (default: stdout, or a file in the data folder)',
      },
      {
        flags: '--log-level <level>',
        text: 'how much its log says (default info)',
        choices: ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'],
      },
      { flags: '--stop-grace <seconds>', text: 'how long a stop waits for requests (default 10)' },
    ],
    load: async () => (await import('../commands/up.ts')).up,
  },
  {
    name: 'backup',
    args: '<file>',
    summary: 'save a control plane: its database, its CA key, its admin token',
    examples: [
      'intervene backup /backup/monday --data /srv/intervene --recipient age1…',
      'intervene backup monday --passphrase-file passphrase --json',
    ],
    options: [
      ...sourceOptions,
      {
        flags: '--recipient <age>',
        text: 'seal it to this age recipient (age1…); may be repeated',
        many: true,
      },
      { flags: '--passphrase-file <file>', text: 'seal it with the first line of this file' },
      {
        flags: '--no-encryption',
        text: 'do not seal it: whoever reads it can pose as this control plane',
      },
    ],
    load: async () => (await import('../commands/backup.ts')).backup,
  },
  {
    name: 'restore',
    args: '<file>',
    summary: 'make a control plane from a backup, where there is none',
    examples: [
      'intervene restore /backup/monday --data /srv/intervene --identity-file key.txt',
      'intervene restore monday --passphrase-file passphrase --digest sha256:… --json',
    ],
    options: [
      ...sourceOptions,
      { flags: '--identity-file <file>', text: 'file with the age identity (AGE-SECRET-KEY-1…)' },
      { flags: '--passphrase-file <file>', text: 'file whose first line opens it' },
      {
        flags: '--no-encryption',
        text: 'it is not sealed: whoever could write it can have made it',
      },
      {
        flags: '--digest <digest>',
        text: 'that of the file (sha256:…), as `backup` printed it; compared before anything else',
      },
    ],
    load: async () => (await import('../commands/restore.ts')).restore,
  },
  {
    name: 'init',
    args: '[url]',
    summary: "operator root, first lead and engineer, on the lead's own machine",
    examples: [
      'intervene init http://127.0.0.1:7400 --engineer "Ada L" --admin-token-file intervene-data/admin-token',
      'intervene init --admin-profile admin',
    ],
    options: [
      { flags: '--engineer <name>', text: 'name of the lead, when nobody has logged in yet' },
      { flags: '--admin-token-file <file>', text: "an administrator's token" },
      { flags: '--admin-profile <name>', text: "an administrator's profile on this machine" },
      noPassphrase,
    ],
    signs: true,
    load: async () => (await import('../commands/init.ts')).init,
  },
  {
    name: 'login',
    args: '<url>',
    summary: 'log in with a token or an invitation',
    examples: [
      'intervene login https://cp.example.net',
      'intervene login https://cp.example.net --invitation-file invitation --profile client',
    ],
    options: [
      { flags: '--token-file <file>', text: 'file with the token; - for standard input' },
      { flags: '--invitation-file <file>', text: 'file with the invitation; - for standard input' },
      { flags: '--ca-file <file>', text: 'authority of the certificate, PEM' },
    ],
    load: async () => (await import('../commands/login.ts')).login,
  },
  {
    name: 'whoami',
    summary: 'who the control plane takes you for',
    examples: ['intervene whoami', 'intervene whoami --profile client --json'],
    load: async () => (await import('../commands/whoami.ts')).whoami,
  },
  {
    name: 'accounts add',
    args: '<name>',
    summary: 'add a client account',
    examples: ['intervene accounts add example-ltd', 'intervene accounts add example-ltd --json'],
    load: async () => (await import('../commands/accounts.ts')).addAccount,
  },
  {
    name: 'accounts list',
    summary: 'list the accounts you may see',
    examples: ['intervene accounts list', 'intervene accounts list --json'],
    load: async () => (await import('../commands/accounts.ts')).listAccounts,
  },
  {
    name: 'people invite',
    args: '<name>',
    summary: 'print an invitation for a person',
    examples: [
      'intervene people invite "Ada L" --role engineer',
      'intervene people invite client --role client --account example-ltd > invitation',
    ],
    options: [
      {
        flags: '--role <role>',
        text: 'what the person may do',
        required: true,
        choices: ['client', 'engineer', 'lead', 'auditor', 'admin'],
      },
      { flags: '--account <name>', text: 'account of a client' },
    ],
    load: async () => (await import('../commands/people.ts')).invitePerson,
  },
  {
    name: 'people list',
    summary: 'list the people you may see',
    examples: ['intervene people list', 'intervene people list --json'],
    load: async () => (await import('../commands/people.ts')).listPeople,
  },
  {
    name: 'people remove',
    args: '<person>',
    summary: "end a person's access to the control plane",
    examples: ['intervene people remove "Ada L"', 'intervene people remove client --json'],
    load: async () => (await import('../commands/people.ts')).removePerson,
  },
  {
    name: 'engineers add',
    args: '<name>',
    summary: 'certify the key of an engineer (as a lead)',
    examples: [
      'intervene engineers add "Ada L" --key-file engineer.pub',
      'intervene engineers add "Ada L" --key-file engineer.pub --for 3d',
    ],
    options: [
      {
        flags: '--key-file <file>',
        text: 'public part that the engineer exported',
        required: true,
      },
      validFor,
      { flags: '--lead', text: 'as a lead, signed by the operator root (90 days)' },
    ],
    signs: true,
    load: async () => (await import('../commands/engineers.ts')).addEngineer,
  },
  {
    name: 'engineers renew',
    args: '[name]',
    summary: 'certify the same keys for another while; your own without a name',
    examples: ['intervene engineers renew', 'intervene engineers renew "Ada L" --for 7d'],
    options: [
      validFor,
      { flags: '--lead', text: 'as a lead, signed by the operator root (90 days)' },
    ],
    signs: true,
    load: async () => (await import('../commands/engineers.ts')).renewEngineer,
  },
  {
    name: 'engineers remove',
    args: '<name>',
    summary: "take an engineer's keys back",
    examples: [
      'intervene engineers remove "Ada L"',
      'intervene engineers remove "Ada L" --stop --reason "laptop stolen"',
    ],
    options: [
      { flags: '--stop', text: 'stop what runs, too: the keys may be in other hands' },
      { flags: '--reason <text>', text: 'kept in the signed document' },
    ],
    signs: true,
    load: async () => (await import('../commands/engineers.ts')).removeEngineer,
  },
  {
    name: 'engineers list',
    summary: 'list who is certified, and until when',
    examples: ['intervene engineers list', 'intervene engineers list --json'],
    load: async () => (await import('../commands/engineers.ts')).listEngineers,
  },
];
