import { findAction } from '../../../proto/actions/catalogue.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { authorizationName } from '../../../proto/documents/authorization-name.ts';
import { coversOrder, orderClass } from '../../../proto/documents/coverage.ts';
import { judgedOrder } from '../../../proto/documents/judged-order.ts';
import { openDocument } from '../../../proto/documents/document.ts';
import type { VerifiedDocument } from '../../../proto/documents/document.ts';
import { keyFingerprint, publicKeySchema } from '../../../proto/documents/keys.ts';
import type { PublicKey } from '../../../proto/documents/keys.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import type { Receipt } from '../../../proto/documents/kinds/receipt.ts';
import { findWithoutUndo } from '../../../proto/documents/undo-acceptance.ts';
import type { PackBody } from '../api/bodies.ts';
import { FindingError } from './check-list.ts';
import type { CheckList } from './check-list.ts';
import { isoTime, revokedAt } from './pack-authorizations.ts';
import type { Authorization, Revoked } from './pack-authorizations.ts';
import { checkGivenSecrets, checkMadeSecrets } from './pack-secrets.ts';
import type { PackSecret } from './pack-secrets.ts';
import { bytes, certifiedAt, certifiedKeys, isWithin, SKEW_SECONDS } from './pack-trust.ts';
import type { PackTrust } from './pack-trust.ts';

type PackJob = PackBody['jobs'][number];
type Order = VerifiedDocument<'order'>;

export interface JobEvidence {
  trust: PackTrust;
  authorizations: readonly Authorization[];
  revoked: readonly Revoked[];
  /** The server of the intervention. */
  server: string;
  /** The order of an earlier job of the pack, as certified engineers signed it. */
  findOrder: (job: string) => Order['payload'] | undefined;
  /** Keys of the server's agent that whoever verifies knows; empty where the orders alone tell. */
  agentKeys: readonly string[];
  /** What the pack says of secrets. */
  secrets: readonly PackSecret[];
}

/** What the chain is compared with: digests and heads that the signed papers of a job name. */
export interface JobFacts {
  id: string;
  name: string;
  order: Order['payload'];
  orderDigest: string;
  agentKey: string;
  /** Whether the client's grant names the agent's key too. */
  isAgentGranted: boolean;
  auditHeads: string[];
  /** What the agent says the log is; null while the job has no end. */
  logDigest: string | null;
  /** Digests of the secrets that the agent signed for. */
  sealedOutputs: readonly string[];
}

/** Checks the papers of one job against each other and against who may sign them. */
export function checkJob(job: PackJob, evidence: JobEvidence, checks: CheckList): JobFacts | null {
  const order = checks.try(`order of ${job.name}`, () => checkOrder(job, evidence));
  if (order === null) return null;
  const agentKey = checks.try(`agent of ${job.name}`, () => checkAgentKey(job, order, evidence));
  if (agentKey === null) return null;
  const accepted = checkReceipt(job, order, agentKey, 'accepted', checks);
  const final = checkReceipt(job, order, agentKey, 'final', checks);
  const plan = checkPlan(job, order, agentKey, final, checks);
  checkState(job, final, checks);
  const started = accepted ?? (final?.statement === 'ended' ? final : null);
  if (started !== null) {
    checks.try(`authorization of ${job.name}`, () =>
      checkAuthorization(order, plan, started.at, evidence, job),
    );
    checkGivenSecrets(job, order.payload, started.at, evidence, checks);
  }
  const sealedOutputs = final?.statement === 'ended' ? final.sealedOutputs : [];
  checkMadeSecrets(job, sealedOutputs, evidence.secrets, checks);
  checkLog(job, final, checks);
  return {
    id: job.id,
    name: job.name,
    order: order.payload,
    orderDigest: order.digest,
    agentKey: order.payload.agentKey,
    isAgentGranted: isAgentGranted(order, evidence),
    auditHeads: [accepted, final].flatMap((receipt) => receipt?.auditHead ?? []),
    logDigest: final?.statement === 'ended' ? final.log.digest : null,
    sealedOutputs,
  };
}

function checkOrder(
  job: PackJob,
  { trust, server }: JobEvidence,
): { value: Order; detail: string } {
  const order = openDocument('order', bytes(job.documents.order), certifiedKeys(trust));
  const { payload } = order;
  if (payload.job !== job.id) throw new FindingError('the order is for another job');
  if (payload.server !== server) throw new FindingError('the order is for another server');
  const names = order.signers.map((key) => certifiedAt(trust, key, payload.issuedAt).name);
  return {
    value: order,
    detail: `${payload.action} (${payload.mode}), signed ${isoTime(payload.issuedAt)} by ${names.join(' and ')}`,
  };
}

/** The agent's key comes from the pack; that it is the right one, the engineer's order or a pin says. */
function checkAgentKey(
  job: PackJob,
  order: Order,
  { agentKeys }: JobEvidence,
): { value: PublicKey; detail: string } {
  const key = publicKeySchema.parse(job.agentKey);
  const fingerprint = keyFingerprint(key);
  if (fingerprint !== order.payload.agentKey) {
    throw new FindingError(`the key ${fingerprint} is not the one the order was signed for`);
  }
  if (agentKeys.length > 0 && !agentKeys.includes(fingerprint)) {
    throw new FindingError(`the key ${fingerprint} is not that of --agent`);
  }
  const by = agentKeys.length > 0 ? 'order and --agent name it' : 'the order names it';
  return { value: key, detail: `${fingerprint}, as ${by}` };
}

function isAgentGranted({ payload }: Order, { authorizations }: JobEvidence): boolean {
  const authorization = authorizations.find(({ digest }) => digest === payload.authorization);
  return (
    authorization?.kind === 'grant' &&
    authorization.payload.servers.some(
      ({ id, agentKey }) => id === payload.server && agentKey === payload.agentKey,
    )
  );
}

function checkReceipt(
  job: PackJob,
  order: Order,
  agentKey: PublicKey,
  which: 'accepted' | 'final',
  checks: CheckList,
): Receipt | null {
  const envelope = job.documents[which];
  if (envelope === null) return null;
  return checks.try(`receipt of ${job.name}, ${which}`, () => {
    const { payload } = openDocument('receipt', bytes(envelope), [agentKey]);
    if (payload.job !== job.id || payload.server !== order.payload.server) {
      throw new FindingError('the receipt is for another job');
    }
    const isUnreadable = payload.statement === 'refused' && payload.order === null;
    if (payload.order !== order.digest && !isUnreadable) {
      throw new FindingError('the receipt is for another order');
    }
    if ((payload.statement === 'accepted') !== (which === 'accepted')) {
      throw new FindingError(`a receipt that says ${payload.statement} stands in its place`);
    }
    return { value: payload, detail: `${statementText(payload)}, signed by the agent` };
  });
}

function statementText(receipt: Receipt): string {
  if (receipt.statement === 'accepted') return `accepted ${isoTime(receipt.at)}`;
  if (receipt.statement === 'refused') return `refused ${isoTime(receipt.at)}: ${receipt.reason}`;
  return `ended ${isoTime(receipt.at)}: ${receipt.outcome}`;
}

function checkPlan(
  job: PackJob,
  order: Order,
  agentKey: PublicKey,
  final: Receipt | null,
  checks: CheckList,
): VerifiedDocument<'plan'> | null {
  const wanted =
    order.payload.plan ??
    (order.payload.mode === 'plan' && final?.statement === 'ended' ? final.plan : null);
  if (wanted === null) return null;
  return checks.try(`plan of ${job.name}`, () => {
    if (job.documents.plan === null) throw new FindingError('the plan is not in the pack');
    const plan = openDocument('plan', bytes(job.documents.plan), [agentKey]);
    if (plan.digest !== wanted) {
      throw new FindingError(`the plan is ${plan.digest}, but ${wanted} was signed`);
    }
    if (
      plan.payload.server !== order.payload.server ||
      plan.payload.action !== order.payload.action
    ) {
      throw new FindingError('the plan is for another server or action');
    }
    return { value: plan, detail: `${plan.digest}, signed by the agent` };
  });
}

/** What the pack says became of the job must be what the agent signed. */
function checkState(job: PackJob, final: Receipt | null, checks: CheckList): void {
  const subject = `outcome of ${job.name}`;
  if (final === null) {
    checks.note(subject, `${job.state}, without a receipt of the agent: nothing proves it`);
    return;
  }
  const signed = final.statement === 'ended' ? final.outcome : final.statement;
  if (signed !== job.state) {
    checks.fails(subject, `the pack says ${job.state}, the agent signed ${signed}`);
  }
}

/** That the agent was right to start it: an authorization that covered it and held at that time. */
function checkAuthorization(
  order: Order,
  plan: VerifiedDocument<'plan'> | null,
  startedAt: number,
  { trust, authorizations, revoked, findOrder }: JobEvidence,
  job: PackJob,
): { value: Authorization; detail: string } {
  const { payload } = order;
  if (payload.authorization === null) throw new FindingError('it was started without any');
  const authorization = authorizations.find(({ digest }) => digest === payload.authorization);
  if (authorization === undefined) {
    throw new FindingError(
      `${payload.authorization}, which the order names, does not hold or is missing`,
    );
  }
  const people = order.signers.map((key) => certifiedAt(trust, key, payload.issuedAt).person);
  requireSigners(order, authorization, trust, people);
  const action = findAction(payload.action);
  if (action === undefined) throw new FindingError(`this version does not know ${payload.action}`);
  const judged = judgedOrder(payload, findOrder);
  const coverage = coversOrder(authorization.payload, judged, findAction(judged.action) ?? action);
  if (!coverage.covered) throw new FindingError(coverage.detail);
  requireUndoAccepted(order, plan?.payload ?? null, action, authorization);
  const isClassC = orderClass(action, payload.mode) === 'C';
  const needed = isClassC ? authorization.payload.engineersForClassC : 1;
  if (new Set(people).size < needed) {
    throw new FindingError(`${needed} engineers had to sign, ${new Set(people).size} did`);
  }
  if (startedAt > payload.startBefore + SKEW_SECONDS) {
    throw new FindingError(`it was accepted ${isoTime(startedAt)}, after the order had run out`);
  }
  if (payload.mode !== 'undo') requireInForce(order, authorization, startedAt, revoked);
  const covers = `${authorizationName(authorization.payload)} covers ${job.name}`;
  const detail =
    payload.mode === 'undo'
      ? `${covers}, which takes back what was done under it: that may also be done after its end`
      : covers;
  return { value: authorization, detail };
}

function requireUndoAccepted(
  { payload }: Order,
  plan: Plan | null,
  action: ActionDeclaration,
  authorization: Authorization,
): void {
  if (payload.mode === 'apply' && action.plans && payload.plan === null) {
    throw new FindingError(`${action.id} is applied by a plan, and the order names none`);
  }
  const what = findWithoutUndo(plan, payload, action);
  if (what === undefined || authorization.payload.acceptsStepsWithoutUndo) return;
  throw new FindingError(`${what} cannot be undone, and the authorization does not accept that`);
}

function requireSigners(
  order: Order,
  authorization: Authorization,
  trust: PackTrust,
  people: readonly string[],
): void {
  const named = authorization.payload.engineers;
  const stranger = order.signers
    .map(keyFingerprint)
    .find((fingerprint) => named !== null && !named.includes(fingerprint));
  if (stranger !== undefined) {
    throw new FindingError(`the authorization does not name the engineer with the key ${stranger}`);
  }
  if (authorization.kind !== 'attestation') return;
  const attesting = authorization.signers.map(
    (key) => certifiedAt(trust, key, authorization.payload.notBefore).person,
  );
  if (attesting.some((person) => people.includes(person))) {
    throw new FindingError('whoever attested the authorization also ordered the work');
  }
}

function requireInForce(
  order: Order,
  authorization: Authorization,
  startedAt: number,
  revoked: readonly Revoked[],
): void {
  if (!isWithin(authorization.payload, startedAt)) {
    throw new FindingError(
      `the authorization did not hold when the job was accepted, ${isoTime(startedAt)}`,
    );
  }
  const taken = revokedAt(authorization, order.signers.map(keyFingerprint), revoked);
  if (taken !== null && startedAt > taken + SKEW_SECONDS) {
    throw new FindingError(
      `it was accepted ${isoTime(startedAt)}, after what it rests on was taken back ${isoTime(taken)}`,
    );
  }
}

function checkLog(job: PackJob, final: Receipt | null, checks: CheckList): void {
  if (final?.statement !== 'ended') return;
  const subject = `log of ${job.name}`;
  const { log } = final;
  if (job.logDigest !== null && job.logDigest !== log.digest) {
    checks.fails(subject, `stored as ${job.logDigest}, signed as ${log.digest}`);
    return;
  }
  const missing = log.gaps.reduce((sum, gap) => sum + gap.missingBytes, 0);
  const gaps = missing === 0 ? '' : `, ${missing} bytes left out and signed as such`;
  checks.holds(subject, `${log.bytes} bytes, ${log.lines} whole lines, ${log.digest}${gaps}`);
}
