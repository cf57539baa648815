import { shell } from '../../../proto/documents/command-text.ts';
import { reference } from '../api/api-client.ts';
import type { ServerBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { glyph } from '../output/terminal.ts';
import { findServer } from './servers.ts';

export interface IdentifyOptions {
  expectSerial?: string;
  expectMac?: string[];
  expectHostname?: string;
}

interface Said {
  serial: string | null;
  macAddresses: string[];
  hostname: string;
}

/**
 * `servers identify SERVER`: an engineer confirms which machine booted as this server, by what is known of it
 * elsewhere. Until then agents in rescue change nothing.
 */
export async function identifyServer(
  context: CommandContext,
  [named = '']: string[],
  options: IdentifyOptions,
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const server = await findServer(api, named);
  const said = requireRescue(server);
  if (!terminal.json) {
    terminal.say(`The machine that booted as ${server.name} says:`);
    terminal.say(`  serial     ${said.serial ?? 'none'}`);
    for (const address of said.macAddresses) terminal.say(`  MAC        ${address}`);
    terminal.say(`  host name  ${said.hostname}`);
  }
  const expected = await expectation(context, said, options);
  const body = await api.post<ServerBody>(
    `/api/v1/servers/${reference(server.id)}/identity`,
    expected,
  );
  if (terminal.json) {
    terminal.printJson(body);
    return;
  }
  terminal.say(glyph('ok', '✓'), `${server.name} is this machine; orders will expect it.`);
  terminal.sayNext(`${shell`intervene plan ${server.name}`} ACTION`);
}

function requireRescue({ name, agent }: ServerBody): Said {
  if (agent?.mode === 'rescue') {
    const { serial, macAddresses, hostname } = agent.facts;
    return {
      serial: typeof serial === 'string' && serial !== '' ? serial : null,
      macAddresses: Array.isArray(macAddresses) ? macAddresses.map(String) : [],
      hostname: typeof hostname === 'string' ? hostname : '',
    };
  }
  throw new CliError({
    code: 'agent_not_in_rescue',
    happened: `${name} has no agent in rescue; only there an engineer says which machine it is.`,
    next: [{ label: '', command: shell`intervene enroll ${name} --mode rescue` }],
    exitStatus: exitStatus.refused,
  });
}

/** From flags, or all that was shown when the person says that it is the right machine. */
async function expectation(
  context: CommandContext,
  said: Said,
  { expectSerial, expectMac = [], expectHostname }: IdentifyOptions,
): Promise<Said> {
  if (expectSerial !== undefined || expectMac.length > 0 || expectHostname !== undefined) {
    return {
      serial: expectSerial ?? null,
      macAddresses: expectMac,
      hostname: expectHostname ?? said.hostname,
    };
  }
  const agreed = await context.prompt.confirm(
    ['Do these stand on the machine, or in your records of it?'],
    '--expect-serial S --expect-mac M --expect-hostname H',
  );
  if (agreed) return said;
  throw new CliError({
    code: 'not_confirmed',
    happened: 'You did not confirm; the machine stays unidentified and nothing on it is changed.',
    exitStatus: exitStatus.stopped,
  });
}
