import { X509Certificate } from 'node:crypto';
import type { Logger } from 'pino';
import { wireLimits } from '../../proto/wire.ts';
import type { RenewResponse__Output } from '../../proto/wire.ts';
import { backoffMs } from './backoff.ts';
import type { ControlPlaneClient } from './channel.ts';
import type { AgentIdentity } from './identity.ts';
import { UntrustedServerError } from './server-certificate.ts';

/** After this long without a certificate only a new enrolment helps. */
export const LATE_RENEWAL_MS = 30 * 24 * 3600 * 1000;
/** setTimeout takes no longer delays. */
const TIMER_MAX_MS = 2 ** 31 - 1;

export interface CertificateKeeperOptions {
  identity: AgentIdentity;
  /** Milliseconds since 1970, of the trusted clock. */
  nowMs: () => number;
  /** What it resolves to has been made durable. */
  save: (pem: string) => Promise<void>;
  log: Logger;
}

/**
 * Holds the agent's certificate and renews it at half of its life. A certificate from before this process
 * is judged by the trusted clock, a renewed one by the time since it came: a clock that differs from the
 * control plane's can then never make it renew again and again.
 */
export class CertificateKeeper {
  private readonly options: CertificateKeeperOptions;
  private pem: string;
  private renewedAt: number | null = null;
  private isRejected = false;
  private timer: NodeJS.Timeout | null = null;

  constructor(options: CertificateKeeperOptions) {
    this.options = options;
    this.pem = options.identity.certificatePem;
  }

  get certificatePem(): string {
    return this.pem;
  }

  get endsMs(): number {
    return new X509Certificate(this.pem).validToDate.getTime();
  }

  /** Whether it must be renewed before anything else. */
  get hasEnded(): boolean {
    return this.isRejected || this.leftMs <= 0;
  }

  /** The control plane did not take it. */
  reject(): void {
    this.isRejected = true;
  }

  /** Throws the ServiceError of the call; PERMISSION_DENIED when this certificate was renewed before. */
  async renew(client: ControlPlaneClient): Promise<void> {
    const { identity, nowMs, log, save } = this.options;
    if (nowMs() - this.endsMs > LATE_RENEWAL_MS) {
      log.error('the certificate ended over 30 days ago: this agent must be enrolled again');
    }
    const certificate = await requestCertificate(client, identity.certificateRequest);
    requireForThisAgent(certificate, identity);
    const pem = certificate.toString();
    await save(pem);
    this.pem = pem;
    this.renewedAt = performance.now();
    this.isRejected = false;
    log.info({ ends: certificate.validToDate.toISOString() }, 'the certificate was renewed');
  }

  /** Renews when half of the life is over, over `client`, until it works; then calls `onRenewed`. */
  startTimer(client: ControlPlaneClient, onRenewed: () => void, failures = 0): void {
    this.stopTimer();
    const dueMs = Math.max(0, this.leftMs - this.lifeMs / 2);
    const delayMs = failures > 0 ? 1_000 + backoffMs(failures + 2, Math.random()) : dueMs;
    const timer = setTimeout(
      () => {
        this.renew(client).then(
          () => this.timer === timer && onRenewed(),
          (error: unknown) => {
            if (this.timer !== timer) return;
            this.options.log.warn({ err: error }, 'the certificate was not renewed');
            this.startTimer(client, onRenewed, failures + 1);
          },
        );
      },
      Math.min(delayMs, TIMER_MAX_MS),
    );
    this.timer = timer;
  }

  stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }

  private get lifeMs(): number {
    const certificate = new X509Certificate(this.pem);
    return certificate.validToDate.getTime() - certificate.validFromDate.getTime();
  }

  private get leftMs(): number {
    if (this.renewedAt === null) return this.endsMs - this.options.nowMs();
    return this.renewedAt + this.lifeMs - performance.now();
  }
}

async function requestCertificate(
  client: ControlPlaneClient,
  certificateRequest: Buffer,
): Promise<X509Certificate> {
  const response = await new Promise<RenewResponse__Output>((resolve, reject) => {
    const deadline = Date.now() + 2 * wireLimits.handshakeMs;
    client.renew({ certificateRequest }, { deadline }, (error, value) => {
      if (error) reject(error);
      else resolve(value!);
    });
  });
  return new X509Certificate(response.certificate!);
}

/** What is kept must work: a certificate for another key would lock this agent out. */
function requireForThisAgent(certificate: X509Certificate, identity: AgentIdentity): void {
  const key = (of: X509Certificate) => of.publicKey.export({ type: 'spki', format: 'der' });
  if (!certificate.verify(new X509Certificate(identity.authorityPem).publicKey)) {
    throw new UntrustedServerError('the new certificate was not issued by the pinned authority');
  }
  if (!key(certificate).equals(key(new X509Certificate(identity.certificatePem)))) {
    throw new UntrustedServerError('the new certificate is not for the key of this agent');
  }
}
