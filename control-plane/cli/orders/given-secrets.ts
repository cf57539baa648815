import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import { digestOf } from '../../../proto/documents/document.ts';
import type { CredentialBody, GrantBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import type { Preparation } from './prepare-order.ts';

export interface GivenSecrets {
  /** The grants under which the client gave all of them. */
  grants: GrantBody[];
  /** Digests by input, of those given under this grant. */
  under(grantId: string | undefined): Record<string, string>;
}

/**
 * Looks for what the client gave for these inputs of an action; of several for one input the newest counts. Throws
 * CliError where something is missing: the order would be refused.
 */
export async function findGiven(
  { api, server, grants }: Preparation,
  action: ActionDeclaration,
  inputs: readonly string[],
): Promise<GivenSecrets> {
  if (inputs.length === 0) return { grants, under: () => ({}) };
  const all = await api.list<CredentialBody>('/api/v1/credentials', { server: server.id });
  const usable = all
    .filter((one) => one.kind === 'given' && one.state === 'usable' && one.action === action.id)
    .toSorted((a, b) => b.number - a.number);
  const find = (input: string, grantId: string | undefined) =>
    usable.find((one) => one.name === input && one.grantId === grantId);
  const fitting = grants.filter(({ id }) => inputs.every((input) => find(input, id)));
  const missing = inputs.find((input) => !usable.some(({ name }) => name === input)) ?? inputs[0]!;
  if (fitting.length === 0) {
    throw new CliError({
      code: 'credential_not_given',
      happened: `The client gave no ${missing} for ${action.id} on ${server.name}, or not under one permission with the rest.`,
      safe: 'Nothing was ordered.',
      next: [
        {
          label: 'the client gives it',
          command: shell`intervene credentials give ${server.name} --name ${missing} --action ${action.id}`,
          byOther: true,
        },
      ],
      exitStatus: exitStatus.refused,
    });
  }
  return {
    grants: fitting,
    under: (grantId) =>
      Object.fromEntries(
        inputs.flatMap((input) => {
          const envelope = find(input, grantId)?.envelope;
          return envelope ? [[input, digestOf(Buffer.from(envelope, 'base64'))]] : [];
        }),
      ),
  };
}
