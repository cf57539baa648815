import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest';
import { TwoNetworks } from '../../diagnostics/testing/two-networks.ts';
import { JobsInNetwork } from '../../guarded/testing/jobs-in-network.ts';

export const PORT = 2222;
export const ACTION = 'firewall.recover';
/** As short as an order may say. */
export const BRIEF = { confirmWithinSeconds: 20 };

/** The server's network and that of who comes from outside, of a test file. */
export let networks: TwoNetworks;
/** Of each test its own. */
export let server: JobsInNetwork;

/** Gives every test of a file an agent in a network of its own, and sshd's port to nothing else. */
export function useFirewallServer(): void {
  beforeAll(async () => {
    networks = await TwoNetworks.create(PORT);
  });
  afterAll(() => networks?.close());
  beforeEach(async () => {
    server = new JobsInNetwork(networks.inItsNetwork);
    server.write(
      '/etc/ssh/sshd_config',
      `Port ${PORT}
`,
    );
    await server.startAgent();
  });
  afterEach(() => server.close());
}

export const shutRules = [
  'flush ruleset',
  'table inet filter {',
  '  chain input {',
  '    type filter hook input priority 0; policy drop;',
  '    ct state established,related accept',
  '    iif lo accept',
  '    tcp dport { 80, 443 } accept',
  '  }',
  '}',
  '',
].join('\n');

export async function inServer(...argv: string[]): Promise<string> {
  const done = await networks.inServer(argv);
  if (done.exitStatus !== 0) throw new Error(`${argv.join(' ')}: ${done.err}`);
  return done.out;
}

export async function load(rules: string): Promise<void> {
  server.write('/rules.nft', rules);
  await inServer('nft', '-f', `${server.folder}/rules.nft`);
}

export const withoutTags = (path: string) =>
  server.read(path).replaceAll(/intervene-[0-9a-f]{12}/g, 'intervene-TAG');
export const ruleset = () => inServer('nft', '--handle', 'list', 'ruleset');

/** nftables numbers rules anew when it loads them. */
export const withoutHandles = (text: string) => text.replaceAll(/ # handle \d+/g, '');

/** Everything that must be as before. */
export async function state(): Promise<string> {
  return server.look() + (await ruleset());
}

export const tables = (...lines: string[]) =>
  [
    '*filter',
    ':INPUT DROP [0:0]',
    ':FORWARD ACCEPT [0:0]',
    ':OUTPUT ACCEPT [0:0]',
    ...lines,
    'COMMIT',
    '',
  ].join('\n');
