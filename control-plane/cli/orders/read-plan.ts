import { documentDigest, parseEnvelope } from '../../../proto/documents/dsse.ts';
import { mediaType, readUnverified } from '../../../proto/documents/document.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { CliError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';

/** A plan whose digest was computed here, over the very bytes that are shown. */
export interface ReadPlan {
  plan: Plan;
  digest: string;
}

/**
 * Reads a plan for showing. The digest that goes into an order comes from these bytes and from nowhere
 * else; that the agent signed them is checked by the agent before it applies them.
 *
 * @param claimed the digest the control plane names; another one is refused
 */
export function readPlan(envelope: string, claimed: string | null): ReadPlan {
  const bytes = Buffer.from(envelope, 'base64');
  let plan: Plan;
  let digest: string;
  try {
    const { payloadType, payload } = parseEnvelope(bytes);
    digest = documentDigest({ payloadType, payload });
    plan = readUnverified('plan', bytes).payload;
  } catch (cause) {
    throw new CliError({
      code: 'plan_malformed',
      happened: `What came as a plan is no ${mediaType('plan')}: ${(cause as Error).message}`,
      safe: 'Nothing was ordered.',
      cause,
    });
  }
  if (claimed !== null && claimed !== digest) {
    throw new CliError({
      code: 'plan_mismatch',
      happened: `The control plane names the plan ${claimed}, but its bytes have the digest ${digest}.`,
      safe: 'Nothing was ordered.',
      exitStatus: exitStatus.refused,
    });
  }
  return { plan, digest };
}

/** The short form people say: the first six digits of the hash. */
export function shortDigest(digest: string): string {
  return digest.replace(/^sha256:/, '').slice(0, 6);
}

/** The system that a plan was made for, as the order that applies it must name it. */
export function targetOfPlan({ target }: Plan): Order['target'] {
  return (target['offline'] as Order['target'] | undefined) ?? null;
}
