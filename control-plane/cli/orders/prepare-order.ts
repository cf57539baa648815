import { shell } from '../../../proto/documents/command-text.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { Signer } from '../../../proto/documents/keys.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { AgentBody, GrantBody, ServerBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { findServer } from '../commands/servers.ts';
import { exitStatus } from '../exit-status.ts';
import { certificationOf, fetchCertifications } from '../trust/certifications.ts';
import type { Certification } from '../trust/certifications.ts';

const DEFAULT_KEY = 'engineer';

/** What an order is made of besides what the person asks for. */
export interface Preparation {
  api: ApiClient;
  server: ServerBody;
  agent: AgentBody;
  /** All of the server, also those that have ended: what is missing may have been there. */
  grants: GrantBody[];
  signer: Signer;
}

/**
 * Asks for everything an order needs, at once, and checks what the agent would refuse for certain: a server
 * without an agent, an engineer without a certification, an action the agent does not know.
 */
export async function prepareOrder(
  context: CommandContext,
  named: string,
  action: ActionDeclaration,
  keyName = DEFAULT_KEY,
): Promise<Preparation> {
  requireEngineer(context);
  const api = await context.api();
  const asked = [
    findServer(api, named),
    api.list<GrantBody>('/api/v1/grants', { server: named }),
    fetchCertifications(api),
  ] as const;
  // The server's error says more than the others' about the same wrong name.
  await Promise.allSettled(asked);
  const server = await asked[0];
  const grants = await asked[1];
  const agent = requireAgent(server, action);
  const keys = await context.keys();
  requireCertified(context, keys.publicPart(keyName)?.key, await asked[2], keyName);
  return { api, server, agent, grants, signer: await keys.open(keyName) };
}

/** Before anything about keys: whoever orders nothing must not be told to make one. */
function requireEngineer(context: CommandContext): void {
  const { role } = context.profile.require().person;
  if (role === 'engineer' || role === 'lead') return;
  throw new CliError({
    code: 'not_an_engineer',
    happened:
      role === 'client'
        ? 'You are logged in as a client: clients permit, engineers order.'
        : `You are logged in with the role ${role}, which orders nothing.`,
    safe: 'Nothing was ordered.',
    next: [
      role === 'client'
        ? {
            label: 'permit it to an engineer',
            command: "intervene authorize SERVER --ticket T --actions 'filesystem.*'",
          }
        : { label: 'see who you are here', command: 'intervene whoami' },
    ],
    exitStatus: exitStatus.refused,
  });
}

/** Throws where the server has no agent, or one that does not know the action. */
export function requireAgent(server: ServerBody, action: ActionDeclaration): AgentBody {
  const { agent } = server;
  if (agent === null) {
    throw new CliError({
      code: 'no_agent',
      happened: `${server.name} has no agent.`,
      safe: 'Nothing was ordered.',
      next: [{ label: '', command: shell`intervene enroll ${server.name} --mode resident` }],
      exitStatus: exitStatus.unreachable,
    });
  }
  const known = agent.actions.find(({ id }) => id === action.id);
  if (agent.actions.length > 0 && known?.version !== action.version) {
    throw new CliError({
      code: known === undefined ? 'action_unknown' : 'action_version_unknown',
      happened: `The agent on ${server.name} knows ${known === undefined ? 'no' : 'another version of'} ${action.id}.`,
      safe: 'Nothing was ordered.',
      next: [{ label: 'compare versions', command: 'intervene agents list' }],
      exitStatus: exitStatus.refused,
    });
  }
  return agent;
}

/** Throws where the agent would refuse every signature of this key. */
export function requireCertified(
  context: CommandContext,
  key: Signer['key'] | undefined,
  certifications: readonly Certification[],
  keyName: string,
): void {
  if (key === undefined && keyName !== DEFAULT_KEY) {
    throw usageError(
      `There is no key ${JSON.stringify(keyName)} in this profile.`,
      [{ label: 'see your keys', command: 'intervene keys list' }],
      'no_key',
    );
  }
  if (key === undefined) {
    throw new CliError({
      code: 'no_key',
      happened: 'You have no key to sign orders with.',
      safe: 'Nothing was ordered.',
      next: [{ label: '', command: 'intervene keys create' }],
      exitStatus: exitStatus.refused,
    });
  }
  const now = context.nowSeconds();
  if (certificationOf(certifications, key, now) !== undefined) return;
  const fingerprint = keyFingerprint(key);
  const { profile } = context;
  const { name } = profile.require().person;
  throw new CliError({
    code: 'not_certified',
    happened: `No certification of your key ${fingerprint} is valid now.`,
    safe: 'Nothing was ordered.',
    next: [
      { label: 'if you are a lead', command: 'intervene engineers renew' },
      { label: 'else hand this to a lead', command: 'intervene keys export > FILE' },
      {
        label: 'who runs',
        command: shell`intervene engineers add ${name} --key-file FILE`,
        byOther: true,
      },
    ],
    exitStatus: exitStatus.refused,
  });
}
