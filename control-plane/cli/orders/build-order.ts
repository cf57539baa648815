import { randomBytes } from 'node:crypto';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { signDocument } from '../../../proto/documents/document.ts';
import type { Identity } from '../../../proto/documents/fields.ts';
import { givenReference } from '../../../proto/documents/given-reference.ts';
import type { Signer } from '../../../proto/documents/keys.ts';
import { START_WITHIN_SECONDS } from '../../../proto/documents/kinds/order.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { AgentBody, ServerBody } from '../api/bodies.ts';
import { usageError } from '../cli-error.ts';
import type { Parameters } from './parameters.ts';
import { uuidV7 } from './uuid-v7.ts';

/** Programs that end by themselves get an hour; what may not be stopped halfway gets twelve. */
const RUNTIME_SECONDS = 3600;
const RUNTIME_UNSTOPPABLE_SECONDS = 12 * 3600;

/** What an order holds of one sealed input, in base64. */
const SEALED_MAX = 16 * 1024;

export interface OrderRequest {
  action: ActionDeclaration;
  mode: Order['mode'];
  server: string;
  /** Which machine the server is, as an engineer confirmed it. */
  identity: ServerBody['identity'];
  agent: AgentBody;
  parameters: Parameters;
  authorization: string | null;
  plan: string | null;
  undoes: string | null;
  target: Order['target'];
  /** What the system on the disks of the target must say it is, where the engineer says so. */
  expectedSystem?: Pick<Identity, 'hostname' | 'machineId'>;
  /** Secrets by input name, not yet sealed. */
  secrets: Record<string, string>;
  /** Digests of what the client gave, by input name. */
  given: Record<string, string>;
  maxRuntimeSeconds: number | null;
  onDisconnect: Order['onDisconnect'];
  reason: string;
  nowMs: number;
}

/** Puts together an order for exactly this agent and signs it. */
export async function buildOrder(
  request: OrderRequest,
  signer: Signer,
): Promise<{ order: Order; envelope: Uint8Array }> {
  const job = uuidV7(request.nowMs);
  const given = Object.entries(request.given).map(
    ([name, digest]) => [name, givenReference(digest)] as const,
  );
  const sealedInputs = { ...(await sealSecrets(request, job)), ...Object.fromEntries(given) };
  const issuedAt = Math.floor(request.nowMs / 1000);
  const order: Order = {
    job,
    authorization: request.authorization,
    server: request.server,
    agentKey: request.agent.keyFingerprint,
    action: request.action.id,
    actionVersion: request.action.version,
    mode: request.mode,
    plan: request.plan,
    undoes: request.undoes,
    parameters: request.parameters,
    target: request.target,
    expect: {
      ...expectedIdentity(request.agent, request.identity, request.target),
      ...request.expectedSystem,
    },
    sealedInputs,
    nonce: randomBytes(16).toString('base64url'),
    issuedAt,
    startBefore: issuedAt + START_WITHIN_SECONDS,
    maxRuntimeSeconds: request.maxRuntimeSeconds ?? defaultRuntimeSeconds(request.action),
    onDisconnect: request.onDisconnect,
    reason: request.reason,
  };
  return { order, envelope: signDocument('order', order, [signer]) };
}

async function sealSecrets(
  { agent, secrets }: OrderRequest,
  job: string,
): Promise<Record<string, string>> {
  const names = Object.keys(secrets);
  if (names.length === 0) return {};
  // Loaded only where there is something to seal: it takes as long as the rest of the command.
  const { sealInput } = await import('../../../proto/documents/sealed-input.ts');
  const sealed: Record<string, string> = {};
  for (const name of names) {
    const value = await sealInput(agent.ageRecipient, job, name, secrets[name] ?? '');
    if (value.length > SEALED_MAX) {
      throw usageError(`The secret ${name} is too large to be sealed.`, [], 'secret_too_large');
    }
    sealed[name] = value;
  }
  return sealed;
}

export function defaultRuntimeSeconds(action: ActionDeclaration): number {
  return action.interrupt === 'now' ? RUNTIME_SECONDS : RUNTIME_UNSTOPPABLE_SECONDS;
}

/**
 * What the order says the machine must be. In rescue it is what an engineer confirmed, and nothing before
 * that: a machine that merely answers proves nothing by naming itself, and its agent changes nothing then. On a
 * server that opted in it is what the agent said. Such facts are hostile: only texts within the document's limits
 * are taken. Network addresses are named in rescue alone: on a running system those of containers come and go.
 */
export function expectedIdentity(
  agent: Pick<AgentBody, 'facts' | 'mode'>,
  identity: ServerBody['identity'],
  target: Order['target'] = null,
): Identity {
  const machine =
    agent.mode !== 'rescue' ? said(agent) : identity === null ? {} : confirmed(identity);
  if (target === null) return machine;
  // Those are of the system that runs here, not of the one on the disks.
  const { hostname: _, machineId: __, ...hardware } = machine;
  return hardware;
}

function said(agent: Pick<AgentBody, 'facts'>): Identity {
  const { facts } = agent;
  const text = (name: string, most: number): string | undefined => {
    const value = facts[name];
    return typeof value === 'string' && value !== '' && value.length <= most ? value : undefined;
  };
  const serial = text('serial', 200);
  const machineId = text('machineId', 64);
  const hostname = text('hostname', 255);
  return {
    ...(serial !== undefined && { serial }),
    ...(machineId !== undefined && { machineId }),
    ...(hostname !== undefined && { hostname }),
  };
}

function confirmed({
  serial,
  macAddresses,
  hostname,
}: NonNullable<ServerBody['identity']>): Identity {
  return { ...(serial !== null && { serial }), macAddresses, hostname };
}
