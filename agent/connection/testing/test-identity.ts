import { randomUUID, X509Certificate } from 'node:crypto';
import { createKeys } from '../identity.ts';
import type { AgentIdentity } from '../identity.ts';
import type { TestAuthority, Validity } from './certificates.ts';

/** An agent that was enrolled at a control plane with this authority. */
export async function makeIdentity(
  authority: TestAuthority,
  validity: Validity = {},
): Promise<AgentIdentity> {
  const keys = await createKeys();
  const certificate = await authority.issueAgent(keys.certificateRequest, validity);
  return {
    ...keys,
    agentId: randomUUID(),
    serverId: randomUUID(),
    accountId: randomUUID(),
    mode: 'resident',
    certificatePem: new X509Certificate(certificate).toString(),
    authorityPem: authority.certificatePem,
  };
}
