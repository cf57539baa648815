import type { CommandDeclaration, OptionDeclaration } from '../declaration.ts';
import { jobStateTexts } from '../output/job-states.ts';

const orderOptions: readonly OptionDeclaration[] = [
  {
    flags: '--timeout <time>',
    text: 'how long it may run: 30s, 10m, 2h (default 1h, or 12h where it may not be cut short)',
  },
  {
    flags: '--on-disconnect <what>',
    text: 'when the server is cut off (default finish)',
    choices: ['finish', 'stop'],
  },
  { flags: '--reason <text>', text: 'why, kept in the signed order' },
  {
    flags: '--ticket <ticket>',
    text: 'the ticket: of several permissions, or where none names one',
  },
  { flags: '--key <name>', text: 'which key signs (default engineer)' },
  {
    flags: '--engineers <number>',
    text: 'who must sign before it is sent: a server may want more than the client',
    integer: true,
  },
];
/** Of what only looks, plans or has no plan; else the plan says which system it is for. */
const targetOptions: readonly OptionDeclaration[] = [
  {
    flags: '--disk <path>',
    text: 'a system on this disk or image (all: on every unused disk) instead of the running one',
  },
  { flags: '--system <id>', text: 'which one, where several are found there: its root’s UUID' },
  {
    flags: '--expect-hostname <name>',
    text: 'refuse a system on the disks with another host name',
  },
  {
    flags: '--expect-machine-id <id>',
    text: 'refuse a system on the disks with another machine id',
  },
];
const params: OptionDeclaration = {
  flags: '--param <name=value>',
  text: 'a parameter: text, or JSON for lists and the like; may be given several times',
  many: true,
};
const fromFindings: OptionDeclaration = {
  flags: '--from-findings',
  text: 'diagnose first, then every repair that the findings suggest, in the order they depend on',
};
const secret: OptionDeclaration = {
  flags: '--secret <name=file>',
  text: 'a secret from a file (- for standard input), sealed to the agent',
  many: true,
};
const given: OptionDeclaration = {
  flags: '--given <name>',
  text: 'a secret that the client gave for this; may be given several times',
  many: true,
};
const yes: OptionDeclaration = {
  flags: '--yes',
  text: 'do not ask; what is planned and of class C also needs --plan',
};
const detach: OptionDeclaration = { flags: '--detach', text: 'do not follow' };

/** Looking, planning, doing, and what became of it. */
export const jobCommands: readonly CommandDeclaration[] = [
  {
    name: 'actions',
    args: '[action]',
    summary: 'the catalogue of actions and their parameters',
    examples: ['intervene actions', 'intervene actions filesystem.repair'],
    load: async () => (await import('../commands/actions.ts')).showActions,
  },
  {
    name: 'diagnose',
    args: '<server>',
    summary: 'look a server over for known faults; changes nothing',
    examples: [
      'intervene diagnose web-04 --area ssh,firewall',
      'intervene diagnose web-04 --disk all --given disk-key',
    ],
    options: [
      {
        flags: '--area <areas>',
        text: 'look at these areas only; may be given several times',
        many: true,
      },
      ...targetOptions,
      secret,
      given,
      ...orderOptions,
    ],
    signs: true,
    load: async () => (await import('../commands/diagnose.ts')).diagnose,
  },
  {
    name: 'plan',
    args: '<server> [action] [words...]',
    summary: 'print what an action would do; changes nothing',
    examples: [
      'intervene plan web-04 filesystem.repair --param device=/dev/sda2',
      'intervene plan web-04 --from-findings --disk /dev/sdb',
    ],
    options: [params, fromFindings, ...targetOptions, secret, given, ...orderOptions],
    signs: true,
    load: async () => (await import('../commands/plan.ts')).plan,
  },
  {
    name: 'run',
    args: '<server> [action] [words...]',
    summary: 'order an action and follow it',
    examples: [
      'intervene run web-04 filesystem.repair --plan 5b1e9c',
      'intervene run web-04 command.run -- systemctl status nginx',
    ],
    options: [
      params,
      { flags: '--plan <id>', text: 'apply this plan: the digest or job that plan printed' },
      ...targetOptions,
      fromFindings,
      yes,
      {
        flags: '--accept-class-c',
        text: 'with --from-findings and --yes: also what is of class C, after you have read its plan',
      },
      detach,
      secret,
      given,
      ...orderOptions,
    ],
    signs: true,
    load: async () => (await import('../commands/run.ts')).run,
  },
  {
    name: 'approve',
    args: '<job>',
    summary: 'sign the order of another engineer, after reading it and its plan',
    examples: ['intervene approve 1042/4', 'intervene approve 1042/4 --yes --order sha256:5b1e9c…'],
    options: [
      { flags: '--order <digest>', text: 'the order you have read; any other is not signed' },
      { flags: '--yes', text: 'do not ask; needs --order' },
      { flags: '--key <name>', text: 'which key signs (default engineer)' },
    ],
    signs: true,
    load: async () => (await import('../commands/approve.ts')).approve,
  },
  {
    name: 'terminal',
    args: '<server>',
    summary: 'a shell on a server; recorded, and the client may watch and end it',
    examples: ['intervene terminal web-04', 'intervene terminal web-04 --user deploy --idle 5m'],
    options: [
      { flags: '--user <name>', text: 'whose shell it is (default root)' },
      { flags: '--idle <time>', text: 'end it when nothing happens for so long (default 15m)' },
      { flags: '--yes', text: 'do not ask' },
      ...orderOptions,
    ],
    signs: true,
    load: async () => (await import('../commands/terminal.ts')).terminal,
  },
  {
    name: 'jobs list',
    summary: 'list jobs, the newest first',
    examples: ['intervene jobs list', 'intervene jobs list --server web-04 --state failed'],
    options: [
      { flags: '--server <server>', text: 'of this server' },
      { flags: '--state <state>', text: 'in this state', choices: Object.keys(jobStateTexts) },
      { flags: '--intervention <number>', text: 'of this case' },
      { flags: '--all', text: 'all of them' },
    ],
    load: async () => (await import('../commands/jobs.ts')).listJobs,
  },
  {
    name: 'jobs show',
    args: '<job>',
    summary: 'show a job',
    examples: ['intervene jobs show 1042/3', 'intervene jobs show 1042/3 --json'],
    load: async () => (await import('../commands/jobs.ts')).showJob,
  },
  {
    name: 'jobs cancel',
    args: '<job>',
    summary: 'stop a job',
    examples: ['intervene jobs cancel 1042/3', 'intervene jobs cancel 1042/3 --after-step'],
    options: [{ flags: '--after-step', text: 'let the step that runs end first' }],
    load: async () => (await import('../commands/jobs.ts')).cancelJob,
  },
  {
    name: 'jobs undo',
    args: '<job>',
    summary: 'take back what a job changed',
    examples: ['intervene jobs undo 1042/3', 'intervene jobs undo 1042/3 --yes --detach'],
    options: [{ flags: '--yes', text: 'do not ask' }, detach, secret, given, ...orderOptions],
    signs: true,
    load: async () => (await import('../commands/jobs.ts')).undoJob,
  },
  {
    name: 'jobs confirm',
    args: '<job>',
    summary: 'keep a change that would take itself back',
    examples: ['intervene jobs confirm 1042/3', 'intervene jobs confirm 1042/3 --detach'],
    options: [detach, ...orderOptions],
    signs: true,
    load: async () => (await import('../commands/jobs.ts')).confirmJob,
  },
  {
    name: 'jobs take-over',
    args: '<job>',
    summary: 'answer for a job from now on (as a lead)',
    examples: ['intervene jobs take-over 1042/3', 'intervene jobs take-over 1042/3 --json'],
    load: async () => (await import('../commands/jobs.ts')).takeOverJob,
  },
  {
    name: 'jobs abandon',
    args: '<job>',
    summary: 'close a job whose answer nobody expects any more',
    examples: ['intervene jobs abandon 1042/3', 'intervene jobs abandon 1042/3 --yes'],
    options: [{ flags: '--yes', text: 'do not ask' }],
    load: async () => (await import('../commands/jobs.ts')).abandonJob,
  },
  {
    name: 'logs',
    args: '<job>',
    summary: 'the log of a job; of a running one, as it comes',
    examples: ['intervene logs 1042/3', 'intervene logs 1042/3 --follow --tail 100'],
    options: [
      { flags: '--follow', text: 'to the end of the job; on a terminal by itself' },
      { flags: '--no-follow', text: 'what is stored now, and no more' },
      { flags: '--tail <lines>', text: 'the last lines only; all for all' },
      { flags: '--since-offset <byte>', text: 'from this byte of the encoded log', integer: true },
      {
        flags: '--channel <channel>',
        text: 'only this channel; may be given several times',
        many: true,
        choices: ['out', 'err', 'note'],
      },
      { flags: '--raw', text: 'bytes as the program wrote them; never to a terminal' },
      { flags: '--save <file>', text: 'the encoded log, for verify --log' },
      { flags: '--no-pager', text: 'print, also on a terminal' },
    ],
    load: async () => (await import('../commands/logs.ts')).logs,
  },
  {
    name: 'completion',
    args: '<shell>',
    summary: 'print completions for a shell',
    examples: [
      'source <(intervene completion bash)',
      'intervene completion fish > ~/.config/fish/completions/intervene.fish',
    ],
    load: async () => (await import('../commands/completion.ts')).completion,
  },
  {
    name: 'help',
    args: '[words...]',
    summary: 'help of a command, or on exit-codes',
    examples: ['intervene help run', 'intervene help exit-codes'],
    load: async () => (await import('../commands/help.ts')).help,
  },
];
