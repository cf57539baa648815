import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import tls from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { CONTROL_PLANE_NAME } from '../../proto/wire.ts';
import { createOperation, startAgentSide } from '../fixtures/agent-side.ts';
import type { TestAgentSide } from '../fixtures/agent-side.ts';
import { useTestDatabase } from '../fixtures/database.ts';
import { TestAgent } from '../fixtures/test-agent.ts';

/** How long an attacker goes on, at most; the honest agent must be served meanwhile. */
const ATTACK_MS = 2_000;
const ROUNDS = 3;
const MEMORY_RISE_MAX = 96 * 1024 * 1024;

const test = useTestDatabase();
let side: TestAgentSide;
let attacker: TestAgent;
let honest: TestAgent;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  const operation = await createOperation(side.api);
  const { tenant } = operation;
  honest = await TestAgent.enroll(side, tenant.world, tenant.client);
  const other = await operation.addServer(tenant);
  attacker = await TestAgent.enroll(side, other.world, other.client);
});
afterAll(async () => {
  honest.close();
  attacker.close();
  await side.close();
});

/** Types and flags of frames (RFC 9113, section 6). */
const DATA = 0;
const HEADERS = 1;
const PRIORITY = 2;
const RST_STREAM = 3;
const SETTINGS = 4;
const PUSH_PROMISE = 5;
const PING = 6;
const WINDOW_UPDATE = 8;
const CONTINUATION = 9;
const END_HEADERS = 4;

function frame(type: number, flags: number, stream: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header field as a literal that no table remembers (RFC 7541, 6.2.2). */
function field(name: string, value: string): Buffer {
  const length = (text: string) => Buffer.from([text.length]);
  return Buffer.concat([
    ...[Buffer.from([0]), length(name), Buffer.from(name)],
    ...[length(value), Buffer.from(value)],
  ]);
}

function requestHeaders(method: string, ...more: [string, string][]): Buffer {
  const path = `/intervene.v1.AgentService/${method}`;
  const fields: [string, string][] = [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', path],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more,
  ];
  return Buffer.concat(fields.map(([name, value]) => field(name, value)));
}

const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  frame(SETTINGS, 0, 0, Buffer.alloc(0)),
]);
const open = (stream: number, ...more: [string, string][]) =>
  frame(HEADERS, END_HEADERS, stream, requestHeaders('Connect', ...more));
const number32 = (value: number) => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};
const many = (count: number, make: (index: number) => Buffer) =>
  Buffer.concat(Array.from({ length: count }, (_, index) => make(index)));
const message = (compressed: number, length: number, body: Uint8Array) =>
  Buffer.concat([Buffer.from([compressed]), number32(length), body]);

interface Attack {
  name: string;
  /** What is sent first, and then again and again. */
  first: () => Buffer;
  again: (round: number) => Buffer | null;
  pauseMs?: number;
}

const nothing = () => Buffer.alloc(0);
const oddStreams = (round: number, count: number) => (index: number) =>
  1 + 2 * (round * count + index);

const attacks: Attack[] = [
  {
    name: 'streams opened and reset at once',
    first: nothing,
    again: (round) => {
      const id = oddStreams(round, 200);
      return many(200, (index) =>
        Buffer.concat([open(id(index)), frame(RST_STREAM, 0, id(index), number32(8))]),
      );
    },
  },
  {
    name: 'more streams than are allowed',
    first: nothing,
    again: (round) => many(100, (index) => open(oddStreams(round, 100)(index))),
  },
  {
    name: 'headers that never end',
    first: () => frame(HEADERS, 0, 1, requestHeaders('Connect')),
    again: () => many(100, () => frame(CONTINUATION, 0, 1, field('x', 'y'.repeat(100)))),
  },
  {
    name: 'headers of one byte a moment',
    first: () => frame(HEADERS, 0, 1, requestHeaders('Connect')),
    again: () => frame(CONTINUATION, 0, 1, Buffer.from([0x82])),
    pauseMs: 50,
  },
  {
    name: 'header compression that is wrong',
    first: nothing,
    again: (round) =>
      frame(HEADERS, END_HEADERS, 1 + 2 * round, Buffer.from([0xff, 0xff, 0xff, 0x7f])),
  },
  {
    name: 'pings without end',
    first: nothing,
    again: () => many(500, () => frame(PING, 0, 0, Buffer.alloc(8))),
  },
  {
    name: 'settings without end',
    first: nothing,
    again: () => many(500, () => frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0xff, 0xff]))),
  },
  {
    name: 'a window that is never opened',
    first: () =>
      Buffer.concat([
        frame(SETTINGS, 0, 0, Buffer.from([0, 4, 0, 0, 0, 0])),
        open(1),
        frame(DATA, 0, 1, message(0, 2, Buffer.from([0x0a, 0]))),
      ]),
    again: () => many(20, () => frame(PING, 0, 0, Buffer.alloc(8))),
    pauseMs: 20,
  },
  {
    name: 'windows larger than can be',
    first: () => open(1),
    again: () => frame(WINDOW_UPDATE, 0, 1, number32(0x7f_ff_ff_ff)),
  },
  {
    name: 'empty data and priorities without end',
    first: () => open(1),
    again: () =>
      many(300, (index) =>
        index % 2 === 0
          ? frame(DATA, 0, 1, Buffer.alloc(0))
          : frame(PRIORITY, 0, 1, Buffer.from([0, 0, 0, 3, 16])),
      ),
  },
  {
    name: 'a promise, which only servers make',
    first: () => open(1),
    again: () =>
      frame(PUSH_PROMISE, END_HEADERS, 1, Buffer.concat([number32(2), requestHeaders('Connect')])),
  },
  {
    name: 'a message that promises 4 GiB',
    first: () =>
      Buffer.concat([open(1), frame(DATA, 0, 1, message(0, 0xff_ff_ff_ff, Buffer.alloc(1)))]),
    again: () => frame(DATA, 0, 1, Buffer.alloc(16_000)),
    pauseMs: 5,
  },
  {
    name: 'a message that grows a thousandfold when unpacked',
    first: () => {
      const bomb = gzipSync(Buffer.alloc(200 * 1024 * 1024));
      const body = message(1, bomb.length, bomb);
      const pieces = many(Math.ceil(body.length / 16_000), (index) =>
        frame(DATA, 0, 1, body.subarray(index * 16_000, (index + 1) * 16_000)),
      );
      return Buffer.concat([open(1, ['grpc-encoding', 'gzip']), pieces]);
    },
    again: () => null,
  },
];

/** Runs one attack over a connection of its own, until it is cut off or has gone on for long enough. */
async function run(attack: Attack): Promise<{ cutOff: boolean }> {
  const { keyPem, certificatePem } = attacker.identity;
  const socket = tls.connect({
    host: '127.0.0.1',
    port: side.port,
    ca: side.authority.certificatePem,
    servername: CONTROL_PLANE_NAME,
    ALPNProtocols: ['h2'],
    key: keyPem,
    cert: certificatePem,
  });
  socket.on('error', () => {});
  socket.resume();
  await Promise.race([once(socket, 'secureConnect').catch(() => {}), sleep(2_000)]);
  socket.write(Buffer.concat([PREFACE, attack.first()]));
  const until = performance.now() + ATTACK_MS;
  for (let round = 0; !socket.closed && performance.now() < until; round++) {
    const bytes = attack.again(round);
    if (bytes === null) break;
    if (!socket.write(bytes))
      await Promise.race([once(socket, 'drain').catch(() => {}), sleep(100)]);
    await sleep(attack.pauseMs ?? 1);
  }
  await sleep(50);
  const cutOff = socket.closed || socket.destroyed;
  socket.destroy();
  return { cutOff };
}

/** These do no harm that grows, and may go on; all others are cut off. */
const MAY_GO_ON = new Set([
  'windows larger than can be',
  'a window that is never opened',
  'a message that promises 4 GiB',
  'a message that grows a thousandfold when unpacked',
  'pings without end',
  'settings without end',
]);

describe('an agent whose certificate is right and whose frames are not', () => {
  it.each(attacks)('is dealt with alone: $name', async (attack) => {
    const client = honest.client();
    const session = await honest.connect({}, client);
    try {
      const before = process.memoryUsage().rss;
      for (let round = 0; round < ROUNDS; round++) {
        const attacking = run(attack);
        // A question and its answer, while the attack goes on.
        const { certificate } = await honest.renew(honest.request, client);
        expect(certificate!.length).toBeGreaterThan(100);
        const { cutOff } = await attacking;
        if (!MAY_GO_ON.has(attack.name)) expect(cutOff).toBe(true);
        expect(side.side.sessions.find(honest.agentId)).toBeDefined();
      }
      expect(process.memoryUsage().rss - before).toBeLessThan(MEMORY_RISE_MAX);
    } finally {
      await session.close();
    }
    expect(side.lines.filter((line) => (line['level'] as number) >= 50)).toEqual([]);
  });
});
