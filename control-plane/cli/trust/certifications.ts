import { readUnverified } from '../../../proto/documents/document.ts';
import type { Engineer } from '../../../proto/documents/kinds/certification.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { PublicKey } from '../../../proto/documents/keys.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { DocumentBody } from '../api/bodies.ts';

/** A lead or engineer document as the control plane holds it; not verified here. */
export interface Certification {
  kind: 'lead' | 'engineer';
  digest: string;
  content: Engineer;
  fingerprints: string[];
}

/** All certifications the control plane knows, the longest valid first; unreadable ones are left out. */
export async function fetchCertifications(api: ApiClient): Promise<Certification[]> {
  const documents = await api.list<DocumentBody>('/api/v1/trust/certifications');
  return documents
    .flatMap(readCertification)
    .toSorted((a, b) => b.content.expiresAt - a.content.expiresAt);
}

/** The certification under which `key` may sign at that time, if any; a lead counts as engineer. */
export function certificationOf(
  certifications: readonly Certification[],
  key: PublicKey,
  atSeconds: number,
  kinds: readonly Certification['kind'][] = ['lead', 'engineer'],
): Certification | undefined {
  const fingerprint = keyFingerprint(key);
  return certifications.find(
    ({ kind, content, fingerprints }) =>
      kinds.includes(kind) &&
      fingerprints.includes(fingerprint) &&
      content.notBefore <= atSeconds &&
      content.expiresAt > atSeconds,
  );
}

function readCertification(document: DocumentBody): Certification[] {
  if (document.kind !== 'lead' && document.kind !== 'engineer') return [];
  try {
    const { payload, digest } = readUnverified(
      document.kind,
      Buffer.from(document.envelope, 'base64'),
    );
    const fingerprints = payload.keys.map(keyFingerprint);
    return [{ kind: document.kind, digest, content: payload, fingerprints }];
  } catch {
    return [];
  }
}
