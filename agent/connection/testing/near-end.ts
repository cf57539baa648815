import pino from 'pino';
import { ControlPlaneConnection } from '../connection.ts';
import type { ConnectionOptions, ConnectionState } from '../connection.ts';
import type { Greeting, Incoming } from '../courier.ts';
import type { AgentIdentity } from '../identity.ts';
import { FarEnd } from './far-end.ts';
import type { FarEndOptions, FarSession } from './far-end.ts';
import { makeIdentity } from './test-identity.ts';

/** What is to be closed after a test, in reverse order. */
export class Closing {
  private readonly closers: (() => Promise<unknown>)[] = [];

  add(close: () => Promise<unknown>): void {
    this.closers.push(close);
  }

  async all(): Promise<void> {
    for (const close of this.closers.splice(0).toReversed()) await close();
  }
}

export const greeting: Greeting = {
  facts: {
    hostname: 'web-04',
    machineId: 'm',
    serial: 's',
    macAddresses: ['02:00:00:00:00:01'],
    os: 'Debian',
    kernel: '6',
    agentVersion: '0',
    addresses: ['192.0.2.1'],
  },
  mode: 'resident',
  documentTypes: ['application/vnd.intervene.order.v1+json'],
  actions: [{ id: 'command.run', version: 1 }],
  knownJobs: ['known'],
  bootId: 'boot',
  locked: true,
  ageRecipient: 'age1',
};

/** A far end that welcomes, unless told otherwise. */
export async function startFarEnd(closing: Closing, options: FarEndOptions = {}): Promise<FarEnd> {
  const farEnd = await FarEnd.start({ onSession: (session) => session.welcome(), ...options });
  closing.add(() => farEnd.stop());
  return farEnd;
}

/** An agent's connection that remembers what became of it. */
export class NearEnd {
  readonly messages: Incoming[] = [];
  readonly states: ConnectionState[] = [];
  readonly certificates: string[] = [];
  readonly connection: ControlPlaneConnection;

  constructor(
    closing: Closing,
    addresses: string[],
    identity: AgentIdentity,
    changes: Partial<ConnectionOptions> = {},
  ) {
    this.connection = new ControlPlaneConnection({
      addresses,
      identity,
      nowMs: Date.now,
      greeting: () => greeting,
      onMessage: (message) => this.messages.push(message),
      onWritable: () => {},
      onState: (state) => this.states.push(state),
      isBusy: () => true,
      saveCertificate: async (pem) => {
        this.certificates.push(pem);
      },
      log: pino({ level: 'silent' }),
      ...changes,
    });
    this.connection.start();
    closing.add(() => this.connection.stop());
  }

  async connected(): Promise<void> {
    const until = performance.now() + 15_000;
    while (this.connection.state !== 'connected') {
      if (performance.now() > until) throw new Error(`not connected: ${this.connection.state}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

export async function connectedPair(
  closing: Closing,
  options: FarEndOptions = {},
): Promise<{ farEnd: FarEnd; near: NearEnd; far: FarSession }> {
  const farEnd = await startFarEnd(closing, options);
  const near = new NearEnd(closing, [farEnd.address], await makeIdentity(farEnd.authority));
  await near.connected();
  return { farEnd, near, far: await farEnd.session() };
}
