import net from 'node:net';
import { X509Certificate } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { wireLimits } from '../../proto/wire.ts';
import type { EnrollRequest, EnrollResponse__Output } from '../../proto/wire.ts';
import { PinnedTrust } from '../trust/pinned-trust.ts';
import type { Pins } from '../trust/pinned-trust.ts';
import { openChannel, secureSocket } from './channel.ts';
import type { Facts } from './courier.ts';
import { createKeys, readAgentIds, saveIdentity } from './identity.ts';
import type { AgentIdentity } from './identity.ts';
import { encodeFacts } from './messages.ts';
import {
  judgeServerCertificate,
  publicKeyPin,
  UntrustedServerError,
} from './server-certificate.ts';

export interface EnrollOptions {
  address: string;
  token: string;
  mode: 'rescue' | 'resident';
  /** What the person who installs the agent was told to trust. */
  pins: Pins;
  facts: Facts;
  stateDirectory: string;
  nowMs: () => number;
  /** Replaces the identity and the trust that are there. */
  replace: boolean;
}

/** Thrown when the machine has an identity already. */
export class AlreadyEnrolledError extends Error {
  override name = 'AlreadyEnrolledError';
}

/** Where a machine keeps what it was told to trust. */
export function trustDirectory(stateDirectory: string): string {
  return path.join(stateDirectory, 'trust');
}

/**
 * Makes this machine an agent: new keys, a certificate for the token, and the pinned documents. Nothing is
 * written before everything was compared with the pins. Throws UntrustedServerError, DocumentError (root
 * or account keys are not the pinned ones), ServiceError (the token was not accepted) or
 * AlreadyEnrolledError.
 */
export async function enroll(options: EnrollOptions): Promise<AgentIdentity> {
  const { address, stateDirectory, mode, pins, nowMs } = options;
  if (!options.replace && (await readAgentIds(stateDirectory)) !== null) {
    throw new AlreadyEnrolledError(
      'this machine is enrolled already; --replace gives it a new identity',
    );
  }
  const authority = await fetchAuthority(address, pins.caPin, nowMs);
  const keys = await createKeys();
  const response = await requestEnrollment(options, authority, {
    token: options.token,
    certificateRequest: keys.certificateRequest,
    agentKey: keys.signer.key.public,
    ageRecipient: keys.ageRecipient,
    facts: encodeFacts(options.facts),
  });
  const certificate = new X509Certificate(response.certificate!);
  if (!certificate.verify(authority.publicKey)) {
    throw new UntrustedServerError('the certificate was not issued by the pinned authority');
  }
  const identity: AgentIdentity = {
    ...keys,
    agentId: response.agentId!,
    serverId: response.serverId!,
    accountId: response.accountId!,
    mode,
    certificatePem: certificate.toString(),
    authorityPem: authority.toString(),
  };
  await mkdir(stateDirectory, { recursive: true, mode: 0o700 });
  await PinnedTrust.install(trustDirectory(stateDirectory), response.accountId!, pins, {
    rootChain: response.rootChain!,
    accountKeys: response.accountKeys!,
  });
  await saveIdentity(stateDirectory, identity);
  return identity;
}

/**
 * The certificate of the authority behind `address`, provided that its key is the pinned one. The server
 * sends it after its own certificate.
 */
export async function fetchAuthority(
  address: string,
  pin: string,
  nowMs: () => number,
): Promise<X509Certificate> {
  let authority: X509Certificate | undefined;
  const socket = await connectTo(address);
  const secured = await secureSocket(socket, { identity: null }, (leaf) => {
    authority = leaf?.issuerCertificate;
    if (authority === undefined) {
      throw new UntrustedServerError('the server did not send the certificate of its authority');
    }
    const found = publicKeyPin(authority);
    if (found !== pin) {
      throw new UntrustedServerError(`the authority is ${found}, not the pinned ${pin}`);
    }
    judgeServerCertificate(leaf, authority, nowMs());
  });
  secured.destroy();
  return authority!;
}

async function connectTo(address: string): Promise<net.Socket> {
  const { hostname, port } = new URL(`tcp://${address}`);
  const socket = net.connect({ host: hostname.replace(/^\[|\]$/g, ''), port: Number(port) });
  socket.setTimeout(wireLimits.handshakeMs, () => {
    socket.destroy(new Error(`no answer from ${address}`));
  });
  await new Promise<void>((resolve, reject) => {
    socket.once('connect', resolve);
    socket.once('error', reject);
  });
  return socket;
}

async function requestEnrollment(
  options: EnrollOptions,
  authority: X509Certificate,
  request: EnrollRequest,
): Promise<EnrollResponse__Output> {
  const channel = openChannel({
    address: options.address,
    authority: authority.toString(),
    identity: null,
    nowMs: options.nowMs,
  });
  try {
    return await new Promise((resolve, reject) => {
      const deadline = Date.now() + 4 * wireLimits.handshakeMs;
      channel.client.enroll(request, { deadline }, (error, value) => {
        if (error) reject(error);
        else resolve(value!);
      });
    });
  } finally {
    channel.close();
  }
}
