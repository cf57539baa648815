import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { agentService } from '../../proto/wire.ts';
import { createOperation, startAgentSide } from '../fixtures/agent-side.ts';
import type { Operation, TestAgentSide } from '../fixtures/agent-side.ts';
import { useTestDatabase } from '../fixtures/database.ts';
import { TestAgent } from '../fixtures/test-agent.ts';
import { createChance, mutate, NASTY_TEXTS } from './mutation.ts';

const DECODED = 180_000;
const SENT = 20_000;
/** Messages of one call: the first that is wrong ends it, what comes after must not matter. */
const PER_CALL = 8;
const AT_ONCE = 16;

const chance = createChance();
const test = useTestDatabase();
let side: TestAgentSide;
let operation: Operation;
let agent: TestAgent;

beforeAll(async () => {
  side = await startAgentSide(test.database, { limits: { anonymousPerAddress: 64 } });
  operation = await createOperation(side.api);
  agent = await TestAgent.enroll(side, operation.tenant.world, operation.tenant.client);
});
afterAll(async () => {
  agent.close();
  await side.close();
});

const text = () => chance.pick(NASTY_TEXTS).slice(0, 200);
const bytes = () => chance.bytes(chance.below(60));
const number = () => chance.pick([0, 1, -1, 2 ** 31, 2 ** 53 - 1, -(2 ** 52), chance.below(5_000)]);

/** Messages whose form is right, and whose content is anything. */
const wellFormed: Record<string, () => object> = {
  Enroll: () => ({ token: text(), certificateRequest: bytes(), agentKey: text(), facts: facts() }),
  Renew: () => ({ certificateRequest: bytes() }),
  Connect: () =>
    chance.pick<() => object>([
      () => ({
        hello: { facts: facts(), mode: text(), documentTypes: [text()], knownJobs: [text()] },
      }),
      () => ({ heartbeat: {} }),
      () => ({ receipt: { jobId: text(), receipt: bytes() } }),
      () => ({ events: { jobId: text(), records: [bytes()], firstSequence: number() } }),
      () => ({ progress: { jobId: text(), phase: text(), percent: number(), text: text() } }),
      () => ({ ended: { jobId: text(), receipt: bytes(), result: bytes(), logLength: number() } }),
    ])(),
  UploadLog: () =>
    chance.pick<() => object>([
      () => ({ begin: { jobId: text() } }),
      () => ({ chunk: { offset: number(), length: number(), data: bytes(), lines: number() } }),
    ])(),
};

function facts(): object {
  return {
    hostname: text(),
    machineId: text(),
    macAddresses: Array.from({ length: chance.below(30) }, text),
    addresses: [text()],
  };
}

const varint = (value: bigint): Buffer => {
  const out: number[] = [];
  for (let rest = value; ; rest >>= 7n) {
    if (rest < 128n) return Buffer.from([...out, Number(rest)]);
    out.push(Number(rest & 127n) | 128);
  }
};

/** Pieces that decoders stumble over: endless integers, groups, lengths that lie, unknown fields, nesting. */
const PIECES = [
  Buffer.alloc(12, 0xff),
  Buffer.from([0x0b, 0x0c]),
  Buffer.alloc(40, 0x0b),
  Buffer.from([0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]),
  Buffer.concat([Buffer.from([0x0a]), varint(2n ** 63n)]),
  Buffer.concat([varint((2n ** 29n - 1n) << 3n), Buffer.from([1])]),
  Buffer.from([0x07]),
  Buffer.from([0x00, 0x00]),
  nested(60),
];

function nested(levels: number): Buffer {
  let inner: Buffer = Buffer.alloc(0);
  for (let level = 0; level < levels; level++) {
    inner = Buffer.concat([Buffer.from([0x0a]), varint(BigInt(inner.length)), inner]);
  }
  return inner;
}

const methods = Object.values(agentService);
const nameOf = (method: { path: string }) => method.path.split('/').at(-1)!;

function example(method: (typeof methods)[number]): Buffer {
  const make = wellFormed[nameOf(method)];
  const encoded = make === undefined ? chance.bytes(40) : method.requestSerialize(make() as never);
  if (chance.below(4) === 0) return encoded;
  return chance.below(12) === 0 ? chance.bytes(chance.below(400)) : mutate(chance, encoded, PIECES);
}

describe(`messages of any bytes (seed ${chance.seed})`, () => {
  it(`are read or refused, ${DECODED} of them, and leave nothing behind`, () => {
    const before = process.memoryUsage().heapUsed;
    let read = 0;
    for (let run = 0; run < DECODED; run++) {
      const method = methods[run % methods.length]!;
      try {
        method.requestDeserialize(example(method));
        read++;
      } catch (error) {
        expect(error).toBeInstanceOf(Error);
      }
    }
    expect(read).toBeGreaterThan(DECODED / 10);
    expect(read).toBeLessThan(DECODED);
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(200 * 1024 * 1024);
  });

  it(`are answered with a status by every method, ${SENT} of them, and nobody else notices`, async () => {
    const client = agent.client();
    const counts = { calls: 0, cut: 0 };
    const oneCall = async (): Promise<void> => {
      const method = methods[counts.calls++ % methods.length]!;
      const call = client.makeBidiStreamRequest(
        method.path,
        (body: Buffer) => body,
        (body: Buffer) => body,
        { deadline: Date.now() + 20_000 },
      );
      const ended = statusOf(call);
      for (let at = 0; at < PER_CALL; at++) call.write(example(method));
      call.end();
      const { code, details } = await ended;
      // An exception in a handler would be UNKNOWN.
      expect(code, details).not.toBe(grpc.status.UNKNOWN);
      if (code === grpc.status.UNAVAILABLE) counts.cut++;
    };
    while (counts.calls * PER_CALL < SENT) {
      await Promise.all(Array.from({ length: AT_ONCE }, oneCall));
    }
    // Whoever ends too many calls early is cut off, and may come back.
    expect(counts.cut).toBeLessThan(counts.calls / 10);
    const unforeseen = side.lines.filter((line) => (line['level'] as number) >= 50);
    expect(unforeseen).toEqual([]);
    const other = await TestAgent.enroll(
      side,
      (await operation.addServer(operation.tenant)).world,
      operation.tenant.client,
    );
    await (await other.connect()).close();
    other.close();
  });
});

function statusOf(call: grpc.ClientDuplexStream<Buffer, Buffer>): Promise<grpc.StatusObject> {
  call.on('error', () => {});
  call.on('data', () => {});
  return new Promise((resolve) => call.on('status', resolve));
}
