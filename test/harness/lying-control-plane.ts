import * as grpc from '@grpc/grpc-js';
import { once } from 'node:events';
import path from 'node:path';
import { openCertificateAuthority } from '../../control-plane/agents/certificate-authority.ts';
import { agentService } from '../../proto/wire.ts';
import type {
  ConnectRequest__Output,
  ConnectResponse,
  EnrollRequest__Output,
  EnrollResponse,
  RenewRequest__Output,
  RenewResponse,
  UploadLogRequest__Output,
  UploadLogResponse,
  Welcome,
} from '../../proto/wire.ts';

type Session = grpc.ServerDuplexStream<ConnectRequest__Output, ConnectResponse>;

/**
 * A control plane in the hands of an attacker: the real certificate authority and TLS key, on the real
 * address, and whatever was in the database; but no key that an agent takes orders from. It says what it
 * likes, and remembers what the agent answers.
 */
export class LyingControlPlane {
  readonly answers: ConnectRequest__Output[] = [];
  private readonly server: grpc.Server;
  private readonly welcome: Welcome;
  private session: Session | undefined;

  private constructor(server: grpc.Server, welcome: Welcome) {
    this.server = server;
    this.welcome = welcome;
  }

  static async start(
    dataFolder: string,
    port: number,
    welcome: Pick<Welcome, 'agentId' | 'serverId' | 'accountId'>,
  ): Promise<LyingControlPlane> {
    const authority = await openCertificateAuthority(path.join(dataFolder, 'ca'));
    const { key, cert } = await authority.issueServerCertificate();
    const server = new grpc.Server();
    const liar = new LyingControlPlane(server, welcome);
    server.addService(agentService, {
      Enroll: (
        _: grpc.ServerUnaryCall<EnrollRequest__Output, EnrollResponse>,
        reply: grpc.sendUnaryData<EnrollResponse>,
      ) => reply({ code: grpc.status.UNAVAILABLE }),
      Renew: (
        _: grpc.ServerUnaryCall<RenewRequest__Output, RenewResponse>,
        reply: grpc.sendUnaryData<RenewResponse>,
      ) => reply({ code: grpc.status.UNAVAILABLE }),
      Connect: (session: Session) => liar.accept(session),
      UploadLog: (stream: grpc.ServerDuplexStream<UploadLogRequest__Output, UploadLogResponse>) => {
        stream.on('error', () => {});
        stream.on('data', () => {});
        stream.on('end', () => stream.end());
      },
    });
    const credentials = grpc.ServerCredentials.createSsl(
      Buffer.from(authority.certificatePem),
      [{ private_key: Buffer.from(key), cert_chain: Buffer.from(cert) }],
      true,
    );
    await new Promise<void>((resolve, reject) => {
      server.bindAsync(`127.0.0.1:${port}`, credentials, (error) =>
        error ? reject(error) : resolve(),
      );
    });
    return liar;
  }

  private accept(session: Session): void {
    this.session = session;
    session.on('error', () => {});
    session.on('end', () => session.end());
    session.on('data', (message: ConnectRequest__Output) => {
      this.answers.push(message);
      if (message.hello) session.write({ welcome: { ...this.welcome, positions: [] } });
      if (message.heartbeat) session.write({ heartbeat: {} });
    });
  }

  get isConnected(): boolean {
    return this.answers.some((message) => message.hello);
  }

  say(message: ConnectResponse): void {
    if (this.session === undefined) throw new Error('no agent is connected');
    this.session.write(message);
  }

  async close(): Promise<void> {
    this.session?.end();
    this.server.forceShutdown();
    if (this.session !== undefined && !this.session.destroyed) {
      await Promise.race([once(this.session, 'close'), new Promise((r) => setTimeout(r, 500))]);
    }
  }
}
