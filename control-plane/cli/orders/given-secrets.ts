import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { digestOf } from '../../../proto/documents/document.ts';
import type { CredentialBody, GrantBody } from '../api/bodies.ts';
import { CliError, type NextStep } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import type { Preparation } from './prepare-order.ts';

export interface GivenSecrets {
  /** The grants under which the client gave all of them. */
  grants: GrantBody[];
  /** Digests by input, of those given under this grant. */
  under(grantId: string | undefined): Record<string, string>;
}

/** A secret that an action is to get, and that the client gave to nobody. */
export interface MissingSecret {
  action: string;
  input: string;
}

/** What the client gave for a server and can still be used, the newest first. */
export async function listGiven({ api, server }: Preparation): Promise<CredentialBody[]> {
  const all = await api.list<CredentialBody>('/api/v1/credentials', { server: server.id });
  return all
    .filter(({ kind, state }) => kind === 'given' && state === 'usable')
    .toSorted((a, b) => b.number - a.number);
}

/** What of it is for these inputs of an action; of several for one input the newest counts. */
export function givenFor(
  usable: readonly CredentialBody[],
  grants: GrantBody[],
  action: ActionDeclaration,
  inputs: readonly string[],
): GivenSecrets {
  const own = usable.filter((one) => one.action === action.id);
  const find = (input: string, grantId: string | undefined) =>
    own.find((one) => one.name === input && one.grantId === grantId);
  return {
    grants: grants.filter(({ id }) => inputs.every((input) => find(input, id))),
    under: (grantId) =>
      Object.fromEntries(
        inputs.flatMap((input) => {
          const envelope = find(input, grantId)?.envelope;
          return envelope ? [[input, digestOf(Buffer.from(envelope, 'base64'))]] : [];
        }),
      ),
  };
}

/** Those of the inputs that were not given; all of them where no permission has the rest. */
export function missingOf(
  usable: readonly CredentialBody[],
  { id }: ActionDeclaration,
  inputs: readonly string[],
): MissingSecret[] {
  const isGiven = (input: string) => usable.some((one) => one.action === id && one.name === input);
  const absent = inputs.filter((input) => !isGiven(input));
  return (absent.length === 0 ? inputs : absent).map((input) => ({ action: id, input }));
}

/** Throws CliError where the client did not give all these inputs of the action: the order would be refused. */
export async function findGiven(
  preparation: Preparation,
  action: ActionDeclaration,
  inputs: readonly string[],
): Promise<GivenSecrets> {
  const { server, grants } = preparation;
  const usable = inputs.length === 0 ? [] : await listGiven(preparation);
  const given = givenFor(usable, grants, action, inputs);
  if (inputs.length === 0 || given.grants.length > 0) return given;
  const missing = missingOf(usable, action, inputs);
  throw new CliError({
    code: 'credential_not_given',
    happened: missingText(missing, server.name),
    safe: 'Nothing was ordered.',
    next: giveSteps(missing, server.name),
    exitStatus: exitStatus.refused,
  });
}

export function missingText(missing: readonly MissingSecret[], server: string): string {
  const inputs = [...new Set(missing.map(({ input }) => input))];
  const actions = [...new Set(missing.map(({ action }) => action))];
  return `The client gave no ${inputs.join(', no ')} for ${actions.join(', ')} on ${server}, or not under one permission with the rest.`;
}

/** One command each: the client signs for which action a secret is. */
export function giveSteps(missing: readonly MissingSecret[], server: string): NextStep[] {
  return missing.map(({ action, input }) => ({
    label: 'the client gives it',
    command: shell`intervene credentials give ${server} --name ${input} --action ${action}`,
    byOther: true,
  }));
}
