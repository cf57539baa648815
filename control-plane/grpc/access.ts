import type { Peer } from './peers.ts';

/**
 * What a method asks of its caller's certificate.
 * - `none`: any peer
 * - `renewable`: one of ours, also when it has ended or was renewed before
 * - `current`: one of ours, valid now, and not renewed twice since
 * - `never`: nobody
 */
export type Requirement = 'none' | 'renewable' | 'current' | 'never';

/** The only place where access to a method is decided. What is not listed is for nobody. */
const requirements: Readonly<Record<string, Requirement>> = {
  '/intervene.v1.AgentService/Enroll': 'none',
  '/intervene.v1.AgentService/Renew': 'renewable',
  '/intervene.v1.AgentService/Connect': 'current',
  '/intervene.v1.AgentService/UploadLog': 'current',
  '/intervene.v1.AgentService/Terminal': 'current',
};

export function requirementOf(method: string): Requirement {
  return Object.hasOwn(requirements, method) ? requirements[method]! : 'never';
}

export const listedMethods: readonly string[] = Object.keys(requirements);

/** Refusals after which another certificate helps; all others are for good. */
const certificateRefusals: readonly string[] = [
  'certificate_required',
  'certificate_expired',
  'certificate_superseded',
];

export function isAboutCertificate(refusal: string): boolean {
  return certificateRefusals.includes(refusal);
}

/** Why the caller may not call the method, as a stable code; null when it may. */
export function refusalOf(requirement: Requirement, peer: Peer, now: number): string | null {
  if (requirement === 'never') return 'method_not_allowed';
  if (requirement === 'none') return null;
  const { agent } = peer;
  if (agent === null) return 'certificate_required';
  if (agent.denied !== null) return agent.denied;
  if (requirement === 'renewable') return null;
  if (peer.validUntil <= now) return 'certificate_expired';
  const { certificate, identity } = agent;
  const isKnown = [identity.serial, identity.previousSerial].includes(certificate.serial);
  return isKnown ? null : 'certificate_superseded';
}
