import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { seenBy } from './probe-fixture.ts';

const SERVER = '10.99.0.1';
const LISTEN = `
  const { createServer } = require('node:net');
  createServer((socket) => socket.end()).listen(PORT, '0.0.0.0', () => console.log('ready'));
`;
const CONNECT = `
  const { connect } = require('node:net');
  const socket = connect(PORT, '${SERVER}');
  const end = (text) => { console.log(text); process.exit(0); };
  socket.on('connect', () => end('open'));
  socket.on('error', () => end('blocked'));
  setTimeout(() => end('blocked'), WITHIN);
`;

/** Two network namespaces with a cable between them: a server that listens, and a client outside. */
export class TwoNetworks {
  readonly port: number;
  private readonly children: ChildProcess[] = [];
  private server = 0;
  private client = 0;

  private constructor(port: number) {
    this.port = port;
  }

  static async create(port: number): Promise<TwoNetworks> {
    const networks = new TwoNetworks(port);
    networks.server = await networks.namespace();
    networks.client = await networks.namespace();
    const [inside, outside] = [String(networks.server), String(networks.client)];
    const pair = ['ip', 'link', 'add', 'va', 'netns', inside, 'type', 'veth'];
    await must([...pair, 'peer', 'name', 'vb', 'netns', outside]);
    for (const [pid, link, address] of [
      [inside, 'va', `${SERVER}/24`],
      [outside, 'vb', '10.99.0.2/24'],
    ] as const) {
      await must(['nsenter', '-t', pid, '-n', 'ip', 'address', 'add', address, 'dev', link]);
      await must(['nsenter', '-t', pid, '-n', 'ip', 'link', 'set', link, 'up']);
    }
    const listener = networks.spawn(['nsenter', '-t', inside, '-n', ...networks.node(LISTEN)]);
    await once(listener.stdout!, 'data');
    return networks;
  }

  /** Put before an argv, runs it in the network of the server. */
  get inItsNetwork(): readonly string[] {
    return ['nsenter', '-t', String(this.server), '-n', '--'];
  }

  /** Runs a program in the network of the server. */
  inServer(argv: readonly string[]): ReturnType<typeof seenBy> {
    return seenBy([...this.inItsNetwork, ...argv]);
  }

  /** Whether a packet really gets through. One that is expected is given time; a dropped one never comes. */
  async connects(isExpected: boolean, withinMs = isExpected ? 20_000 : 700): Promise<boolean> {
    const script = CONNECT.replace('WITHIN', String(withinMs));
    const words = ['nsenter', '-t', String(this.client), '-n', ...this.node(script)];
    return (await seenBy(words)).out.trim() === 'open';
  }

  close(): void {
    for (const child of this.children) child.kill('SIGKILL');
  }

  private node(script: string): string[] {
    return [process.execPath, '-e', script.replaceAll('PORT', String(this.port))];
  }

  private async namespace(): Promise<number> {
    const { pid } = this.spawn(['unshare', '--net', 'sleep', '600']);
    const before = (await seenBy(['readlink', '/proc/self/ns/net'])).out;
    for (;;) {
      const now = (await seenBy(['readlink', `/proc/${pid}/ns/net`])).out;
      if (now !== '' && now !== before) return pid!;
      await sleep(10);
    }
  }

  private spawn(argv: readonly string[]): ChildProcess {
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ['ignore', 'pipe', 'ignore'] });
    this.children.push(child);
    return child;
  }
}

async function must(argv: readonly string[]): Promise<void> {
  const { exitStatus, err } = await seenBy(argv);
  if (exitStatus !== 0) throw new Error(`${argv.join(' ')}: ${err}`);
}
