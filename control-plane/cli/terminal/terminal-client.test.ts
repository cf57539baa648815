import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { FrameLink } from '../../../proto/terminal/frame-link.ts';
import { splitSessionKeys } from '../../../proto/terminal/session-keys.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import { TerminalClient } from './terminal-client.ts';
import type { Screen } from './terminal-client.ts';

const job = { id: '0b000000-0000-4000-8000-000000000001', state: 'running' } as JobBody;
const keys = splitSessionKeys(Buffer.from('k'.repeat(64)));

let server: WebSocketServer;
let said: string[];

beforeEach(async () => {
  said = [];
  server = new WebSocketServer({ host: '127.0.0.1', port: 0 });
  await once(server, 'listening');
});
afterEach(() => {
  for (const socket of server.clients) socket.terminate();
  server.close();
});

/** An agent's side: `onReached` gets each connection once both sides have found each other. */
function agentSide(onReached: (link: FrameLink, socket: WebSocket, count: number) => void): void {
  const link = new FrameLink('agent', keys, job.id);
  let count = 0;
  server.on('connection', (socket) => {
    socket.once('message', (frame: Buffer) => {
      link.accept(frame, (sealed) => socket.send(sealed));
      socket.on('message', (later: Buffer) => {
        link.receive(later);
        if (isEnding && link.isDrained) socket.close();
      });
      let isEnding = false;
      onReached(link, socket, ++count);
      isEnding = !link.isDrained;
    });
  });
}

function client(): TerminalClient {
  const { port } = server.address() as AddressInfo;
  const api = {
    openSocket: async () => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}`);
      await once(socket, 'open');
      return socket;
    },
    // The end is still on its way to the control plane.
    get: () => Promise.resolve(job),
  };
  const screen: Screen = {
    size: { rows: 24, columns: 80 },
    onTyped: () => undefined,
    onResize: () => undefined,
    pauseTyping: () => undefined,
    resumeTyping: () => undefined,
    show: () => true,
    onRoom: () => undefined,
    say: (text) => void said.push(text),
  };
  return new TerminalClient(api as unknown as ApiClient, job, keys, screen);
}

it.each(['shell_ended', 'stopped'] as const)(
  'does not call the connection lost that closes after the end (%s) was told',
  async (reason) => {
    agentSide((link) => link.send({ type: 'ended', exitStatus: 3, reason }));
    expect(await client().run()).toEqual({ by: 'agent', exitStatus: 3, reason });
    expect(said).toEqual([]);
  },
);

it('says that a connection is lost, and goes on with the next one', async () => {
  agentSide((link, socket, count) => {
    if (count === 1) socket.terminate();
    else link.send({ type: 'ended', exitStatus: 0, reason: 'shell_ended' });
  });
  expect(await client().run()).toMatchObject({ by: 'agent', exitStatus: 0 });
  expect(said).toEqual([
    expect.stringContaining('The connection is lost'),
    expect.stringContaining('Connected again'),
  ]);
});
