import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, readFile, rename, rm } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { ageRecipient, uuid } from '../../proto/documents/fields.ts';
import { generateSigningKey, loadSigningKey } from '../../proto/documents/keys.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import { syncDirectory, writeDurably } from './durable-file.ts';

export const agentFileSchema = z.strictObject({
  agentId: uuid,
  serverId: uuid,
  accountId: uuid,
  mode: z.enum(['rescue', 'resident']),
});
export type AgentIds = z.output<typeof agentFileSchema>;

/** The keys of an agent. They are made on the machine they are for and never leave it. */
export interface AgentKeys {
  /** Signs receipts and plans. */
  signer: Signer;
  signingKeyPem: string;
  /** The key of the TLS certificate, and a request for it, DER: the same one at every renewal. */
  tlsKeyPem: string;
  certificateRequest: Buffer;
  /** Opens what is sealed to this agent. */
  ageIdentity: string;
  ageRecipient: string;
}

export interface AgentIdentity extends AgentIds, AgentKeys {
  certificatePem: string;
  authorityPem: string;
}

/** Thrown when there is no identity yet, or its files cannot be used. */
export class IdentityError extends Error {
  override name = 'IdentityError';
}

const FILES = {
  agent: 'agent.json',
  signingKey: 'agent.key',
  tlsKey: 'tls.key',
  tlsRequest: 'tls.csr',
  certificate: 'tls.crt',
  authority: 'ca.crt',
  ageIdentity: 'age.key',
  ageRecipient: 'age.pub',
} as const;

export function identityDirectory(stateDirectory: string): string {
  return path.join(stateDirectory, 'identity');
}

export async function createKeys(): Promise<AgentKeys> {
  const { signer, privateKeyPem } = generateSigningKey();
  const tlsKeyPem = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    format: 'pem',
    type: 'pkcs8',
  }) as string;
  const { createCertificateRequest } = await import('./certificate-request.ts');
  // Loaded only here: an agent that runs needs none of it.
  const { generateX25519Identity, identityToRecipient } = await import('age-encryption');
  const ageIdentity = await generateX25519Identity();
  return {
    signer,
    signingKeyPem: privateKeyPem,
    tlsKeyPem,
    certificateRequest: await createCertificateRequest(tlsKeyPem),
    ageIdentity,
    ageRecipient: await identityToRecipient(ageIdentity),
  };
}

/**
 * Puts an identity in place in one step: either all of it is there or nothing. An identity that was there
 * before is gone afterwards.
 */
export async function saveIdentity(stateDirectory: string, identity: AgentIdentity): Promise<void> {
  const directory = identityDirectory(stateDirectory);
  const draft = `${directory}.new`;
  const former = `${directory}.old`;
  await rm(draft, { recursive: true, force: true });
  await mkdir(draft, { recursive: true, mode: 0o700 });
  const { agentId, serverId, accountId, mode } = identity;
  const contents: Record<string, string | Uint8Array> = {
    [FILES.agent]: `${JSON.stringify({ agentId, serverId, accountId, mode }, null, 2)}\n`,
    [FILES.signingKey]: identity.signingKeyPem,
    [FILES.tlsKey]: identity.tlsKeyPem,
    [FILES.tlsRequest]: identity.certificateRequest,
    [FILES.certificate]: identity.certificatePem,
    [FILES.authority]: identity.authorityPem,
    [FILES.ageIdentity]: `${identity.ageIdentity}\n`,
    [FILES.ageRecipient]: `${identity.ageRecipient}\n`,
  };
  for (const [name, content] of Object.entries(contents)) {
    await writeDurably(path.join(draft, name), content);
  }
  await rm(former, { recursive: true, force: true });
  await rename(directory, former).catch(ignoreMissing);
  await rename(draft, directory);
  await syncDirectory(stateDirectory);
  await rm(former, { recursive: true, force: true });
}

export async function saveCertificate(stateDirectory: string, pem: string): Promise<void> {
  await writeDurably(path.join(identityDirectory(stateDirectory), FILES.certificate), pem);
}

/** Whether this machine was enrolled. */
export async function readAgentIds(stateDirectory: string): Promise<AgentIds | null> {
  const file = path.join(identityDirectory(stateDirectory), FILES.agent);
  try {
    return agentFileSchema.parse(JSON.parse(await readFile(file, 'utf8')));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw new IdentityError(`${file} cannot be read`, { cause: error });
  }
}

/** Throws IdentityError when the machine was not enrolled or a file is damaged. */
export async function loadIdentity(stateDirectory: string): Promise<AgentIdentity> {
  const ids = await readAgentIds(stateDirectory);
  if (ids === null) throw new IdentityError('not enrolled: run `intervene-agent enroll` first');
  const directory = identityDirectory(stateDirectory);
  const text = async (name: string) => readFile(path.join(directory, name), 'utf8');
  try {
    const signingKeyPem = await text(FILES.signingKey);
    const certificatePem = await text(FILES.certificate);
    const authorityPem = await text(FILES.authority);
    new X509Certificate(certificatePem);
    new X509Certificate(authorityPem);
    return {
      ...ids,
      signer: loadSigningKey(signingKeyPem),
      signingKeyPem,
      tlsKeyPem: await text(FILES.tlsKey),
      certificateRequest: await readFile(path.join(directory, FILES.tlsRequest)),
      certificatePem,
      authorityPem,
      ageIdentity: (await text(FILES.ageIdentity)).trim(),
      ageRecipient: ageRecipient.parse((await text(FILES.ageRecipient)).trim()),
    };
  } catch (error) {
    throw new IdentityError(`the identity in ${directory} is damaged`, { cause: error });
  }
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error;
}
