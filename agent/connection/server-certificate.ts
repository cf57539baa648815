import { createHash } from 'node:crypto';
import type { X509Certificate } from 'node:crypto';
import { CONTROL_PLANE_NAME } from '../../proto/wire.ts';

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
/** Clocks of two machines differ; a certificate that was made a moment ago may lie in our future. */
const LEEWAY_MS = 5 * 60_000;

/** Thrown when whoever answered is not the control plane this agent was told to trust. */
export class UntrustedServerError extends Error {
  override name = 'UntrustedServerError';
}

/** How an agent is told which certificate authority to trust: SHA-256 of its public key (SPKI, DER). */
export function publicKeyPin(certificate: X509Certificate): string {
  const spki = certificate.publicKey.export({ type: 'spki', format: 'der' });
  return `sha256:${createHash('sha256').update(spki).digest('hex')}`;
}

/**
 * Judges the certificate of a control plane: issued directly by the pinned authority, for a server, with
 * the fixed name, and valid at `nowMs`. OpenSSL's own verdict is not used because it knows only the wall
 * clock, which may be years off in a rescue environment. Throws UntrustedServerError.
 *
 * @param nowMs milliseconds since 1970 of the agent's trusted clock
 */
export function judgeServerCertificate(
  leaf: X509Certificate | undefined,
  authority: X509Certificate,
  nowMs: number,
): void {
  if (leaf === undefined) throw new UntrustedServerError('the server showed no certificate');
  // An agent's certificate comes from the same authority: name and usage keep it from posing as a server.
  if (!leaf.checkIssued(authority) || !leaf.verify(authority.publicKey)) {
    throw new UntrustedServerError('the certificate was not issued by the pinned authority');
  }
  if (!authority.ca || leaf.ca) {
    throw new UntrustedServerError('the certificate is not one of a server');
  }
  if (!(leaf.keyUsage ?? []).includes(SERVER_AUTH)) {
    throw new UntrustedServerError('the certificate is not meant for a server');
  }
  if (leaf.checkHost(CONTROL_PLANE_NAME, { subject: 'never' }) === undefined) {
    throw new UntrustedServerError(`the certificate is not for ${CONTROL_PLANE_NAME}`);
  }
  for (const certificate of [leaf, authority]) {
    if (nowMs + LEEWAY_MS < certificate.validFromDate.getTime()) {
      throw new UntrustedServerError(`the certificate is valid from ${certificate.validFrom} on`);
    }
    if (nowMs - LEEWAY_MS > certificate.validToDate.getTime()) {
      throw new UntrustedServerError(`the certificate ended ${certificate.validTo}`);
    }
  }
}
