import type { CommandDeclaration, GroupDeclaration } from '../declaration.ts';
import { authorizationCommands } from './authorization-commands.ts';
import { credentialCommands } from './credential-commands.ts';
import { jobCommands } from './job-commands.ts';
import { providerCommands } from './provider-commands.ts';
import { serverCommands } from './server-commands.ts';

/** Every command there is, in the order help lists them. */
export const allCommands: readonly CommandDeclaration[] = [
  ...providerCommands,
  ...serverCommands,
  ...authorizationCommands,
  ...credentialCommands,
  ...jobCommands,
];

export const groups: readonly GroupDeclaration[] = [
  {
    name: 'accounts',
    summary: 'client accounts',
    examples: ['intervene accounts add example-ltd', 'intervene accounts list'],
  },
  {
    name: 'people',
    summary: 'who may log in',
    examples: ['intervene people invite "Ada L" --role engineer', 'intervene people list'],
  },
  {
    name: 'engineers',
    summary: 'whose orders agents accept',
    examples: ['intervene engineers list', 'intervene engineers renew'],
  },
  {
    name: 'servers',
    summary: 'machines to repair',
    examples: ['intervene servers list', 'intervene servers show web-04'],
  },
  {
    name: 'agents',
    summary: 'programs on the servers',
    examples: ['intervene agents list', 'intervene agents list --json'],
  },
  {
    name: 'interventions',
    summary: 'cases',
    examples: ['intervene interventions list', 'intervene interventions show 1042'],
  },
  {
    name: 'keys',
    summary: 'signing keys of this machine',
    examples: ['intervene keys create', 'intervene keys list'],
  },
  {
    name: 'credentials',
    summary: 'secrets for servers and from them, sealed',
    examples: ['intervene credentials list', 'intervene credentials open 1042/3'],
  },
  {
    name: 'jobs',
    summary: 'what was ordered, and what became of it',
    examples: ['intervene jobs list', 'intervene jobs show 1042/3'],
    otherWords: {
      watch: 'intervene logs JOB --follow',
      follow: 'intervene logs JOB --follow',
      tail: 'intervene logs JOB --follow',
      logs: 'intervene logs JOB',
      stop: 'intervene jobs cancel JOB',
      kill: 'intervene jobs cancel JOB',
      abort: 'intervene jobs cancel JOB',
      revert: 'intervene jobs undo JOB',
      rollback: 'intervene jobs undo JOB',
    },
  },
];

/** Options that every command takes. */
export const commonOptions = [
  { flags: '--profile <name>', text: 'who you are here (default: "default")' },
  { flags: '--json', text: 'data as JSON' },
  { flags: '--no-color', text: 'no colours' },
  { flags: '--no-input', text: 'never ask' },
] as const;

export const passphraseOption = {
  flags: '--passphrase-file <file>',
  text: 'passphrase of the key, its first line',
} as const;
