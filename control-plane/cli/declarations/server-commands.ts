import type { CommandDeclaration } from '../declaration.ts';

/** Servers, their agents, and the cases worked on. */
export const serverCommands: readonly CommandDeclaration[] = [
  {
    name: 'servers add',
    args: '<name>',
    summary: 'add a server',
    examples: [
      'intervene servers add web-04 --account example-ltd',
      'intervene servers add web-04 --account example-ltd --service-id 55120 --address 192.0.2.44',
    ],
    options: [
      { flags: '--account <name>', text: "account it belongs to; a client's own without it" },
      { flags: '--service-id <id>', text: "the provider's number for it" },
      { flags: '--address <address>', text: 'its address; may be given several times', many: true },
    ],
    load: async () => (await import('../commands/servers.ts')).addServer,
  },
  {
    name: 'servers list',
    summary: 'list the servers you may see',
    examples: ['intervene servers list', 'intervene servers list --json'],
    load: async () => (await import('../commands/servers.ts')).listServers,
  },
  {
    name: 'servers show',
    args: '<server>',
    summary: 'show a server, its agent and what it says of itself',
    examples: ['intervene servers show web-04', 'intervene servers show web-04 --json'],
    load: async () => (await import('../commands/servers.ts')).showServer,
  },
  {
    name: 'enroll',
    args: '<server>',
    summary: 'print the line that installs the agent, and wait for it',
    examples: [
      'intervene enroll web-04 --mode resident',
      'intervene enroll web-04 --mode rescue --no-wait',
    ],
    options: [
      {
        flags: '--mode <mode>',
        text: 'resident: the server opts in; rescue: a rescue environment',
        required: true,
        choices: ['resident', 'rescue'],
      },
      {
        flags: '--allow <pattern>',
        text: 'what the local policy will let orders do; may be given several times',
        many: true,
      },
      {
        flags: '--highest-class <class>',
        text: 'the highest class the local policy will let orders have (default A)',
        choices: ['A', 'B', 'C'],
      },
      {
        flags: '--allow-no-undo',
        text: 'the local policy will let orders do what cannot be taken back, too',
      },
      { flags: '--wait', text: 'wait for the agent, also without a terminal' },
      { flags: '--no-wait', text: 'print the line and end' },
    ],
    load: async () => (await import('../commands/enroll.ts')).enroll,
  },
  {
    name: 'servers identify',
    args: '<server>',
    summary: 'confirm which machine booted as this server, before anything on it is changed',
    examples: [
      'intervene servers identify web-04',
      'intervene servers identify web-04 --expect-serial CZ123 --expect-mac 52:54:00:12:34:56',
    ],
    options: [
      { flags: '--expect-serial <serial>', text: 'serial number of the machine' },
      {
        flags: '--expect-mac <address>',
        text: 'network address it has; may be given several times',
        many: true,
      },
      { flags: '--expect-hostname <name>', text: 'host name (default: what it says)' },
    ],
    load: async () => (await import('../commands/identify.ts')).identifyServer,
  },
  {
    name: 'agents list',
    summary: 'list the agents you may see',
    examples: ['intervene agents list', 'intervene agents list --json'],
    load: async () => (await import('../commands/agents.ts')).listAgents,
  },
  {
    name: 'interventions open',
    summary: 'open a case for a server',
    examples: [
      'intervene interventions open --server web-04 --ticket T-8817',
      'intervene interventions open --server web-04 --ticket T-8817 --describe "does not boot"',
    ],
    options: [
      { flags: '--server <server>', text: 'the server', required: true },
      { flags: '--ticket <ticket>', text: 'the ticket', required: true },
      { flags: '--describe <text>', text: "the symptom, in the client's words" },
    ],
    load: async () => (await import('../commands/interventions.ts')).openIntervention,
  },
  {
    name: 'interventions list',
    summary: 'list open cases',
    examples: ['intervene interventions list', 'intervene interventions list --all --json'],
    options: [{ flags: '--all', text: 'closed ones too' }],
    load: async () => (await import('../commands/interventions.ts')).listInterventions,
  },
  {
    name: 'interventions show',
    args: '<intervention>',
    summary: 'show a case and its jobs',
    examples: ['intervene interventions show 1042', 'intervene interventions show 1042 --json'],
    load: async () => (await import('../commands/interventions.ts')).showIntervention,
  },
  {
    name: 'interventions close',
    args: '<intervention>',
    summary: 'close a case',
    examples: ['intervene interventions close 1042', 'intervene interventions close 1042 --json'],
    load: async () => (await import('../commands/interventions.ts')).closeIntervention,
  },
  {
    name: 'interventions pack',
    args: '<intervention>',
    summary: 'write everything that verify needs',
    examples: [
      'intervene interventions pack 1042 --output 1042.pack',
      'intervene interventions pack 1042 > 1042.pack',
    ],
    options: [{ flags: '--output <file>', text: 'where to; standard output without it' }],
    load: async () => (await import('../commands/interventions.ts')).packIntervention,
  },
];
