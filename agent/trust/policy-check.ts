import { DocumentError } from '../../proto/documents/document.ts';
import { isClassWithin, matchesAction } from '../../proto/documents/fields.ts';
import type { ActionClass } from '../../proto/documents/fields.ts';
import type { Policy } from '../../proto/documents/kinds/policy.ts';
import type { Authorization } from './authorization.ts';
import type { CertifiedPerson } from './certified-people.ts';
import type { PolicyReading } from './policy.ts';

/** The local veto: what is not allowed is denied, and what is denied stays so whatever allows it. */
export function requirePolicyAllows(
  reading: PolicyReading,
  action: string,
  actionClass: ActionClass,
): { policy: Policy; digest: string } {
  if (!reading.usable) throw new DocumentError('policy_missing', reading.why);
  const { policy, digest } = reading;
  const isListed = (patterns: readonly string[]) =>
    patterns.some((pattern) => matchesAction(pattern, action));
  if (isListed(policy.deny) || !isListed(policy.allow)) {
    throw new DocumentError('policy_denied', `the local policy does not allow ${action}`);
  }
  if (!isClassWithin(actionClass, policy['highest-class'])) {
    throw new DocumentError(
      'policy_denied',
      `the local policy allows class ${policy['highest-class']} at most, not ${actionClass}`,
    );
  }
  return { policy, digest };
}

/** Class C needs as many people as the strictest of grant and policy says; two keys are not two people. */
export function requireEnoughEngineers(
  policy: Policy,
  authorization: Authorization,
  actionClass: ActionClass,
  engineers: readonly CertifiedPerson[],
): void {
  if (actionClass !== 'C') return;
  const needed = Math.max(
    authorization.payload.engineersForClassC,
    policy['engineers-for-class-c'],
    authorization.kind === 'attestation' ? policy['engineers-for-class-c-attested'] : 1,
  );
  const people = new Set(engineers.map(({ person }) => person)).size;
  if (people < needed) {
    throw new DocumentError(
      'engineers_too_few',
      `class C needs ${needed} engineers here; ${people} signed`,
    );
  }
}
