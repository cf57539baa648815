import { createHash } from 'node:crypto';
import http2 from 'node:http2';
import tls from 'node:tls';
import { digestOf, signDocument } from '../../proto/documents/document.ts';
import { keyFingerprint, loadSigningKey } from '../../proto/documents/keys.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import { encodeRecord } from '../../proto/spool/record.ts';
import { agentService, CONTROL_PLANE_NAME } from '../../proto/wire.ts';
import type {
  ConnectRequest,
  ConnectResponse__Output,
  JobDelivery__Output,
} from '../../proto/wire.ts';

/** What a simulated agent is made of. */
export interface LightIdentity {
  agentId: string;
  serverId: string;
  tlsKey: string;
  certificate: string;
  /** PEM of the key that signs its receipts. */
  signingKey: string;
}

export interface LightTarget {
  port: number;
  authority: string;
}

const FRAME_BYTES = 5;
const EMPTY_DIGEST = `sha256:${'0'.repeat(64)}`;
const OUTPUT = Buffer.from('hi\n');

/**
 * An agent without a server: its own TLS connection, its own Connect stream, real receipts of its own key, but no
 * judgement, no disk and no process. gRPC's framing is made by hand on Node's HTTP/2, because ten thousand
 * clients of grpc-js would measure themselves.
 */
export class LightAgent {
  readonly identity: LightIdentity;
  private readonly target: LightTarget;
  private session: http2.ClientHttp2Session | null = null;
  private stream: http2.ClientHttp2Stream | null = null;
  private signer: Signer | null = null;
  private pending: Buffer = Buffer.alloc(0);
  onWelcome: () => void = () => {};
  onClose: () => void = () => {};

  constructor(identity: LightIdentity, target: LightTarget) {
    this.identity = identity;
    this.target = target;
  }

  connect(): void {
    const { certificate, tlsKey } = this.identity;
    const socket = tls.connect({
      host: '127.0.0.1',
      port: this.target.port,
      ca: this.target.authority,
      cert: certificate,
      key: tlsKey,
      servername: CONTROL_PLANE_NAME,
      ALPNProtocols: ['h2'],
      minVersion: 'TLSv1.3',
    });
    const session = http2.connect(`https://${CONTROL_PLANE_NAME}`, {
      createConnection: () => socket,
    });
    this.session = session;
    this.pending = Buffer.alloc(0);
    socket.on('error', () => session.destroy());
    session.on('error', () => {});
    session.once('close', () => this.onClose());
    const stream = session.request({
      ':method': 'POST',
      ':path': agentService.Connect.path,
      'content-type': 'application/grpc',
      te: 'trailers',
    });
    this.stream = stream;
    stream.on('error', () => {});
    stream.once('close', () => session.destroy());
    stream.on('data', (bytes: Buffer) => this.take(bytes));
    this.send({ hello: { knownJobs: [], facts: { hostname: 'light' } } });
  }

  /** Gives the connection up; `onClose` tells. */
  drop(): void {
    this.session?.destroy();
  }

  private send(message: ConnectRequest): void {
    const body = agentService.Connect.requestSerialize(message);
    const head = Buffer.alloc(FRAME_BYTES);
    head.writeUInt32BE(body.length, 1);
    this.stream?.write(Buffer.concat([head, body]));
  }

  private take(bytes: Buffer): void {
    this.pending = this.pending.length === 0 ? bytes : Buffer.concat([this.pending, bytes]);
    while (this.pending.length >= FRAME_BYTES) {
      const end = FRAME_BYTES + this.pending.readUInt32BE(1);
      if (this.pending.length < end) return;
      const body = this.pending.subarray(FRAME_BYTES, end);
      this.pending = this.pending.subarray(end);
      this.hear(agentService.Connect.responseDeserialize(body) as ConnectResponse__Output);
    }
  }

  private hear(message: ConnectResponse__Output): void {
    if (message.body === 'welcome') this.onWelcome();
    if (message.body === 'job') this.carryOut(message.job!);
  }

  /** Says at once what the agent of a short job says: accepted, started, one line, ended. */
  private carryOut({ jobId, order, auditHead }: JobDelivery__Output): void {
    const { identity } = this;
    const signer = (this.signer ??= loadSigningKey(identity.signingKey));
    const at = Math.floor(Date.now() / 1000);
    const common = {
      job: jobId!,
      server: identity.serverId,
      agentKey: keyFingerprint(signer.key),
      order: digestOf(order!),
      policy: EMPTY_DIGEST,
      at,
      auditHead: auditHead || null,
    };
    const log = encodeRecord('out', Date.now() * 1000, OUTPUT);
    const result = Buffer.from('{"exitStatus":0,"signal":null}');
    const end = {
      outcome: 'succeeded' as const,
      reason: null,
      exitStatus: 0,
      plan: null,
      result: sha256(result),
      log: { digest: sha256(log), bytes: log.length, lines: 1, gaps: [] },
      changes: [],
      sealedOutputs: [],
    };
    const records = [
      { type: 'received', at: at * 1000, job: jobId, version: 1 },
      { type: 'started', at: at * 1000 },
    ];
    this.send({
      ended: {
        jobId: jobId!,
        accepted: signed({ statement: 'accepted', ...common }, signer),
        events: {
          jobId: jobId!,
          firstSequence: 0,
          records: records.map((record) => Buffer.from(JSON.stringify(record))),
        },
        receipt: signed({ statement: 'ended', ...common, ...end }, signer),
        result,
        plan: Buffer.alloc(0),
        tail: [
          { offset: 0, length: log.length, compression: 0, data: log, firstLine: 0, lines: 1 },
        ],
        logLength: log.length,
      },
    });
  }
}

function signed(receipt: Parameters<typeof signDocument<'receipt'>>[1], signer: Signer): Buffer {
  return Buffer.from(signDocument('receipt', receipt, [signer]));
}

function sha256(bytes: Uint8Array): string {
  return `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
}
