import tls from 'node:tls';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { X509Certificate } from 'node:crypto';
import zlib from 'node:zlib';
import * as grpc from '@grpc/grpc-js';
import { agentService } from '../../../proto/wire.ts';
import type {
  AgentServiceHandlers,
  ConnectRequest__Output,
  ConnectResponse,
  EnrollRequest__Output,
  EnrollResponse,
  LogChunk__Output,
  TerminalRequest__Output,
  TerminalResponse,
  UploadLogRequest__Output,
  UploadLogResponse,
} from '../../../proto/wire.ts';
import { publicKeyPin } from '../server-certificate.ts';
import { TestAuthority } from './certificates.ts';
import type { KeyAndCertificate } from './certificates.ts';

type Body = NonNullable<ConnectRequest__Output['body']>;

/** One agent's Connect stream, seen from the other end. */
export class FarSession {
  readonly received: ConnectRequest__Output[] = [];
  readonly call: grpc.ServerDuplexStream<ConnectRequest__Output, ConnectResponse>;
  isOver = false;
  private readonly waiting = new Set<() => void>();

  constructor(call: grpc.ServerDuplexStream<ConnectRequest__Output, ConnectResponse>) {
    this.call = call;
    call.on('data', (message: ConnectRequest__Output) => {
      this.received.push(...unfold(message));
      this.wake();
    });
    const over = () => {
      this.isOver = true;
      this.wake();
    };
    call.on('error', over);
    call.on('end', () => call.end());
    call.on('close', over);
    call.on('cancelled', over);
  }

  send(message: ConnectResponse): void {
    this.call.write(message);
  }

  welcome(positions: NonNullable<ConnectResponse['welcome']>['positions'] = []): void {
    this.send({ welcome: { agentId: 'a', serverId: 's', accountId: 'c', positions } });
  }

  /** The first message of this kind, or of this kind and for which `matches` holds. */
  async next<B extends Body>(
    body: B,
    matches: (message: NonNullable<ConnectRequest__Output[B]>) => boolean = () => true,
  ): Promise<NonNullable<ConnectRequest__Output[B]>> {
    for (;;) {
      const found = this.all(body).find(matches);
      if (found !== undefined) return found;
      if (this.isOver) throw new Error(`the session ended without ${body}`);
      await this.change();
    }
  }

  all<B extends Body>(body: B): NonNullable<ConnectRequest__Output[B]>[] {
    return this.received
      .filter((message) => message.body === body)
      .map((message) => message[body]!);
  }

  async over(): Promise<void> {
    while (!this.isOver) await this.change();
  }

  private change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.waiting.add(resolve);
    return promise;
  }

  private wake(): void {
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }
}

/** What came along with the end of a short job, as if it had come before. */
function unfold(message: ConnectRequest__Output): ConnectRequest__Output[] {
  const { jobId, accepted, events } = message.ended ?? {};
  const before: ConnectRequest__Output[] = [];
  if (accepted?.length)
    before.push({ body: 'receipt', receipt: { jobId: jobId!, receipt: accepted } });
  if (events) before.push({ body: 'events', events });
  return [...before, message];
}

/** A log as the control plane stores it: a chunk counts only from where the last one ended. */
export class FarLog {
  length = 0;
  lines = 0;
  /** Broken rules, for the test to look at. */
  readonly faults: string[] = [];
  chunks = 0;
  private pieces: Buffer[] = [];

  get committed(): Buffer {
    const joined = this.pieces.length === 1 ? this.pieces[0]! : Buffer.concat(this.pieces);
    this.pieces = [joined];
    return joined;
  }

  take(chunk: LogChunk__Output): number {
    this.chunks++;
    const data =
      chunk.compression === 1 ? zlib.zstdDecompressSync(chunk.data!) : Buffer.from(chunk.data!);
    const offset = chunk.offset!;
    if (data.length !== chunk.length) this.faults.push(`length ${data.length} at ${offset}`);
    const overlap = this.length - offset;
    if (overlap < 0) {
      this.faults.push(`gap before ${offset}`);
    } else if (overlap < data.length) {
      if (overlap === 0 && chunk.firstLine !== this.lines) {
        this.faults.push(`line ${chunk.firstLine} at ${offset}`);
      }
      this.pieces.push(data.subarray(overlap));
      this.length += data.length - overlap;
      this.lines = chunk.firstLine! + chunk.lines!;
    }
    return this.length;
  }
}

export interface FarEndOptions {
  authority?: TestAuthority;
  server?: KeyAndCertificate;
  /** Whether the authority's certificate is sent along. */
  sendsAuthority?: boolean;
  enroll?: (request: EnrollRequest__Output) => Promise<EnrollResponse> | EnrollResponse;
  renew?: (request: Uint8Array) => Promise<Buffer>;
  onSession?: (session: FarSession) => void;
  onTerminal?: (call: grpc.ServerDuplexStream<TerminalRequest__Output, TerminalResponse>) => void;
  onUpload?: (call: grpc.ServerDuplexStream<UploadLogRequest__Output, UploadLogResponse>) => void;
}

/** The other end of the wire for tests: real TLS, real gRPC, what it answers is up to the test. */
export class FarEnd {
  readonly sessions: FarSession[] = [];
  readonly logs = new Map<string, FarLog>();
  readonly authority: TestAuthority;
  uploads = 0;
  connections = 0;
  private readonly listener: tls.Server;
  private readonly server: grpc.Server;
  private readonly sockets = new Set<tls.TLSSocket>();
  private readonly arrivals = new Set<() => void>();

  private constructor(authority: TestAuthority, listener: tls.Server, server: grpc.Server) {
    this.authority = authority;
    this.listener = listener;
    this.server = server;
  }

  static async start(options: FarEndOptions = {}): Promise<FarEnd> {
    const authority = options.authority ?? (await TestAuthority.create());
    const own = options.server ?? (await authority.issueServer());
    const server = new grpc.Server({ 'grpc.enable_channelz': 0 });
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    const chain =
      options.sendsAuthority === false
        ? own.certificatePem
        : `${own.certificatePem}\n${authority.certificatePem}`;
    const listener = tls.createServer({
      key: own.keyPem,
      cert: chain,
      // OpenSSL completes the chain it sends from these, too.
      ...(options.sendsAuthority !== false && { ca: authority.certificatePem }),
      requestCert: true,
      rejectUnauthorized: false,
      minVersion: 'TLSv1.3',
      ALPNProtocols: ['h2'],
    });
    const farEnd = new FarEnd(authority, listener, server);
    server.addService(agentService, farEnd.handlers(options));
    listener.on('secureConnection', (socket) => {
      farEnd.connections++;
      farEnd.sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => farEnd.sockets.delete(socket));
      injector.injectConnection(socket);
    });
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return farEnd;
  }

  get port(): number {
    return (this.listener.address() as AddressInfo).port;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  get pin(): string {
    return publicKeyPin(new X509Certificate(this.authority.certificatePem));
  }

  log(job: string): FarLog {
    const log = this.logs.get(job) ?? new FarLog();
    this.logs.set(job, log);
    return log;
  }

  /** The session number `index`, as soon as there is one. */
  async session(index = 0): Promise<FarSession> {
    while (this.sessions.length <= index) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.arrivals.add(resolve);
      await promise;
    }
    return this.sessions[index]!;
  }

  /** Cuts every connection, as a crash would. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.server.forceShutdown();
    const closed = once(this.listener, 'close');
    this.listener.close();
    await closed;
  }

  private handlers(options: FarEndOptions): AgentServiceHandlers {
    return {
      Enroll: (call, callback) => answer(() => options.enroll!(call.request), callback),
      Renew: (call, callback) =>
        answer(
          async () => ({ certificate: await options.renew!(call.request.certificateRequest!) }),
          callback,
        ),
      Connect: (call) => {
        const session = new FarSession(call);
        this.sessions.push(session);
        options.onSession?.(session);
        for (const resolve of this.arrivals) resolve();
        this.arrivals.clear();
      },
      UploadLog: (call) => {
        this.uploads++;
        call.on('error', () => {});
        if (options.onUpload) options.onUpload(call);
        else this.store(call);
      },
      Terminal: (call) => {
        call.on('error', () => {});
        if (options.onTerminal) options.onTerminal(call);
        else call.end();
      },
    };
  }

  /** Takes an upload as the control plane does. */
  readonly store = (
    call: grpc.ServerDuplexStream<UploadLogRequest__Output, UploadLogResponse>,
  ): void => {
    let log: FarLog | undefined;
    call.on('data', (request: UploadLogRequest__Output) => {
      if (request.body === 'jobId') log = this.log(request.jobId!);
      const committedOffset = request.chunk ? log!.take(request.chunk) : log!.committed.length;
      call.write({ committedOffset });
    });
    call.on('end', () => call.end());
  };
}

function answer<T>(
  make: () => Promise<T> | T,
  callback: (error: Partial<grpc.StatusObject> | null, value?: T) => void,
): void {
  Promise.resolve()
    .then(make)
    .then(
      (value) => callback(null, value),
      (error: Partial<grpc.StatusObject>) =>
        callback({ code: error.code ?? grpc.status.INTERNAL, details: error.details ?? 'failed' }),
    );
}
