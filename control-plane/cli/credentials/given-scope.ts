import { actions } from '../../../proto/actions/catalogue.ts';
import { commandRun } from '../../../proto/actions/command.ts';
import { secretsOf, type ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { readUnverified } from '../../../proto/documents/document.ts';
import { isClassWithin, matchesAction } from '../../../proto/documents/fields.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { GrantBody, ServerBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import { grantReference } from '../commands/revoke.ts';
import { exitStatus } from '../exit-status.ts';
import { suggest } from '../output/suggestion.ts';

/** What a secret is given for: one input of one action, under one grant. */
export interface GivenScope {
  grant: GrantBody;
  /** Computed from the envelope. */
  grantDigest: string;
  action: ActionDeclaration;
  /** Whether orders under the grant can have it printed: they choose the program that reads it. */
  isPrintable: boolean;
}

export interface WantedScope {
  /** The input. */
  name: string;
  grant: string | undefined;
  action: string | undefined;
}

/** Finds what was meant; where it may be several things, the person has to say which. */
export async function findGivenScope(
  api: ApiClient,
  server: ServerBody,
  wanted: WantedScope,
): Promise<GivenScope> {
  requireInput(wanted.name);
  const grants =
    wanted.grant === undefined
      ? await api.list<GrantBody>('/api/v1/grants', { server: server.id, state: 'valid' })
      : [await namedGrant(api, server, wanted.grant)];
  const scopes = grants.flatMap((grant) => scopesOf(grant, wanted));
  const [only, ...others] = scopes;
  if (only === undefined) throw nothingTakesIt(server, wanted, grants);
  if (others.length === 0) return only;
  throw usageError(
    `It may be for ${scopes.map(({ grant, action }) => `${action.id} under G-${grant.number}`).join(', or ')}: say which.`,
    [
      {
        label: '',
        command: shell`intervene credentials give ${server.name} --name ${wanted.name} --grant ${`G-${only.grant.number}`} --action ${only.action.id}`,
      },
    ],
    'scope_ambiguous',
  );
}

async function namedGrant(api: ApiClient, server: ServerBody, named: string): Promise<GrantBody> {
  const grant = await api.get<GrantBody>(`/api/v1/grants/${grantReference(named)}`);
  const name = `G-${grant.number}`;
  if (grant.kind !== 'grant') {
    throw usageError(`${name} is an engineer's attestation: nothing is given under it.`);
  }
  if (grant.state === 'expired' || grant.state === 'revoked') {
    throw usageError(`${name} is ${grant.state === 'expired' ? 'over' : 'taken back'}.`);
  }
  if (!grant.servers.some(({ id }) => id === server.id)) {
    throw usageError(`${name} is not for ${server.name}.`);
  }
  return grant;
}

function scopesOf(grant: GrantBody, { name, action: wanted }: WantedScope): GivenScope[] {
  if (grant.kind !== 'grant') return [];
  const { payload, digest } = readUnverified('grant', Buffer.from(grant.envelope, 'base64'));
  return actions
    .filter(
      (action) =>
        secretsOf(action).includes(name) &&
        (wanted === undefined || action.id === wanted) &&
        isClassWithin(action.class, payload.highestClass) &&
        payload.actions.some(({ pattern }) => matchesAction(pattern, action.id)),
    )
    .map((action) => {
      const isPrintable =
        action === commandRun &&
        payload.actions.some(
          ({ pattern, parameters }) =>
            matchesAction(pattern, action.id) && parameters?.['argv'] === undefined,
        );
      return { grant, grantDigest: digest, action, isPrintable };
    });
}

function requireInput(name: string): void {
  const known = [...new Set(actions.flatMap((action) => secretsOf(action)))];
  if (known.includes(name)) return;
  const meant = suggest(name, known);
  throw usageError(
    `No action takes a secret ${JSON.stringify(name)}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
    [{ label: 'see what actions take', command: 'intervene actions command.run' }],
  );
}

function nothingTakesIt(
  server: ServerBody,
  { name, action }: WantedScope,
  grants: readonly GrantBody[],
): CliError {
  const what = action ?? `an action that takes ${name}`;
  return new CliError({
    code: 'grant_action_not_covered',
    happened:
      grants.length === 0
        ? `Nothing is permitted on ${server.name} now, so nothing can be given for it.`
        : `No permission on ${server.name} allows ${what} to take a secret ${name}.`,
    safe: 'Nothing was given.',
    next: [
      {
        label: 'permit it first',
        command: shell`intervene authorize ${server.name} --ticket T --actions ${action ?? 'command.run'}`,
      },
    ],
    exitStatus: exitStatus.refused,
  });
}
