import { openDocument, readUnverified } from '../../../proto/documents/document.ts';
import { readGivenReference } from '../../../proto/documents/given-reference.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { PackBody } from '../api/bodies.ts';
import { FindingError } from './check-list.ts';
import type { CheckList } from './check-list.ts';
import { isoTime } from './pack-authorizations.ts';
import type { Revoked } from './pack-authorizations.ts';
import { bytes, grantSigners, SKEW_SECONDS } from './pack-trust.ts';
import type { PackTrust } from './pack-trust.ts';

export type PackSecret = PackBody['secrets'][number];

interface SecretEvidence {
  trust: PackTrust;
  revoked: readonly Revoked[];
  secrets: readonly PackSecret[];
}

/** Checks that the client signed what the order used, for exactly that, and had not withdrawn it. */
export function checkGivenSecrets(
  job: { name: string },
  order: Order,
  startedAt: number,
  { trust, revoked, secrets }: SecretEvidence,
  checks: CheckList,
): void {
  for (const [input, text] of Object.entries(order.sealedInputs)) {
    const digest = readGivenReference(text);
    if (digest === null) continue;
    checks.try(`secret ${input} of ${job.name}`, () => {
      const envelope = secrets.find(
        (one) => one.kind === 'given' && one.digest === digest,
      )?.envelope;
      if (envelope == null) throw new FindingError(`${digest} is not in the pack`);
      const { issuedAt } = readUnverified('credential', bytes(envelope)).payload;
      const { payload, digest: actual } = openDocument(
        'credential',
        bytes(envelope),
        grantSigners(trust, issuedAt),
      );
      if (actual !== digest) throw new FindingError(`${actual} came in the place of ${digest}`);
      const expected = {
        account: trust.accountKeys[0]?.payload.account,
        grant: order.authorization,
        server: order.server,
        agentKey: order.agentKey,
        action: order.action,
        input,
      };
      for (const [name, value] of Object.entries(expected)) {
        const given = payload[name as keyof typeof expected];
        if (given !== value) throw new FindingError(`it was given for another ${name}: ${given}`);
      }
      const taken = revoked.find(({ subject }) => subject === payload.id)?.atSeconds;
      if (taken !== undefined && startedAt > taken + SKEW_SECONDS) {
        throw new FindingError(
          `it was used ${isoTime(startedAt)}, after it was withdrawn ${isoTime(taken)}`,
        );
      }
      return {
        value: payload,
        detail: `given by the client ${isoTime(issuedAt)}, for ${payload.action} under this permission`,
      };
    });
  }
}

/** Compares what the pack says a job made with what the agent signed for. */
export function checkMadeSecrets(
  job: { id: string; name: string },
  signed: readonly string[],
  secrets: readonly PackSecret[],
  checks: CheckList,
): void {
  const told = secrets.filter(({ kind, jobId }) => kind === 'made' && jobId === job.id);
  for (const digest of signed) {
    const secret = told.find((one) => one.digest === digest);
    if (secret === undefined) {
      checks.fails(
        `secret of ${job.name}`,
        `the agent signed for ${digest}, which the pack leaves out`,
      );
      continue;
    }
    const opened = secret.openedAt === null ? 'not opened' : `opened ${secret.openedAt}`;
    checks.holds(
      `secret ${JSON.stringify(secret.name)} of ${job.name}`,
      `${digest}, sealed by the agent to the client; ${opened}, says the control plane`,
    );
  }
  for (const { name, digest } of told.filter((one) => !signed.includes(one.digest))) {
    checks.fails(
      `secret ${JSON.stringify(name)} of ${job.name}`,
      `the agent did not sign for ${digest}`,
    );
  }
}
