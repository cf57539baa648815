import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { coversOrder } from '../../../proto/documents/coverage.ts';
import type { Coverage } from '../../../proto/documents/coverage.ts';
import { mediaType, readUnverified } from '../../../proto/documents/document.ts';
import type { Grant } from '../../../proto/documents/kinds/grant.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { parseEnvelope } from '../../../proto/documents/dsse.ts';
import type { GrantBody } from '../api/bodies.ts';

export interface ChosenGrant {
  body: GrantBody;
  grant: Grant;
  digest: string;
}

export type GrantChoice =
  | { grant: ChosenGrant; why: null }
  /** `why` is what the nearest authorization lacks; null when there is none at all. */
  | { grant: null; why: Extract<Coverage, { covered: false }> | null };

/**
 * Picks the authorization an order may be sent with: valid now, covering it, the longest still to run. The
 * agent judges again; this only saves a journey.
 */
export function chooseGrant(
  grants: readonly GrantBody[],
  order: Pick<Order, 'server' | 'agentKey' | 'action' | 'mode' | 'parameters'>,
  action: ActionDeclaration,
  nowSeconds: number,
  /** Fingerprint of the key that signs the order: it rests on no attestation of its own. */
  signer: string,
): GrantChoice {
  let best: ChosenGrant | null = null;
  let why: Extract<Coverage, { covered: false }> | null = null;
  for (const body of grants) {
    if (body.state !== 'valid') continue;
    const read = readGrant(body);
    if (read === null || read.grant.notBefore > nowSeconds || read.grant.expiresAt <= nowSeconds) {
      continue;
    }
    const coverage = coversOrder(read.grant, order, action);
    if (!coverage.covered) why = coverage;
    else if (body.kind === 'attestation' && body.signedBy.split(' ').includes(signer)) {
      const detail = `you attested G-${body.number} yourself: another engineer orders under it`;
      why = { covered: false, reason: 'attestation_not_allowed', detail };
    } else if (best === null || read.grant.expiresAt > best.grant.expiresAt) best = read;
  }
  return best === null ? { grant: null, why } : { grant: best, why: null };
}

/** The authorization with this digest, as an undo rests on the one of the job that it takes back. */
export function findGrant(
  grants: readonly GrantBody[],
  digest: string | null,
): GrantBody | undefined {
  return grants.find((body) => digest !== null && readGrant(body)?.digest === digest);
}

/** The signed content behind a grant's summary; null when it is not one this version reads. */
function readGrant(body: GrantBody): ChosenGrant | null {
  const bytes = Buffer.from(body.envelope, 'base64');
  try {
    const kind =
      parseEnvelope(bytes).payloadType === mediaType('attestation') ? 'attestation' : 'grant';
    const read = readUnverified(kind, bytes);
    return { body, grant: read.payload, digest: read.digest };
  } catch {
    return null;
  }
}
