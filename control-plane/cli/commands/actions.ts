import { z } from 'zod';
import { actions, findAction } from '../../../proto/actions/catalogue.ts';
import { secretsOf, type ActionDeclaration } from '../../../proto/actions/declaration.ts';
import type { ActionBody } from '../api/bodies.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { suggest } from '../output/suggestion.ts';
import { printFacts, printTable } from '../output/table.ts';
import type { Piece } from '../output/terminal.ts';

/** `intervene actions [ACTION]`: the catalogue of this version; needs no control plane. */
export async function showActions(context: CommandContext, [id]: string[]): Promise<void> {
  const { terminal } = context;
  if (id === undefined) {
    if (terminal.json) {
      terminal.printJson({ items: actions.map(bodyOf), next: null });
      return;
    }
    printTable(
      terminal,
      [
        { title: 'ACTION', cell: (action) => action.id, keep: true },
        { title: 'CLASS', cell: (action) => action.class },
        { title: 'PLANS', cell: (action) => (action.plans ? 'yes' : '-') },
        { title: 'UNDO', cell: (action) => (action.undo === 'yes' ? 'yes' : '-') },
        { title: 'DOES', cell: (action) => action.sentence },
      ],
      actions,
    );
    return;
  }
  const action = requireAction(id);
  if (terminal.json) {
    terminal.printJson(bodyOf(action));
    return;
  }
  printFacts(terminal, [
    ['action', action.id],
    ['version', String(action.version)],
    ['does', action.sentence],
    ['class', `${action.class} (${classMeaning(action)})`],
    ['takes', action.usualDuration],
    ['plan first', action.plans ? `yes, class ${action.planClass}` : 'no'],
    ['undo', action.undo],
    ['secrets', secretsOf(action).join(', ') || '-'],
    ...parameterFacts(action),
  ]);
}

/** The action of an id; an unknown one gives one suggestion, exit status 2. */
export function requireAction(id: string): ActionDeclaration {
  const action = findAction(id);
  if (action) return action;
  if (id === '') {
    throw usageError('Which action? Name one after the server.', [
      { label: 'see all', command: 'intervene actions' },
    ]);
  }
  const meant = suggest(
    id,
    actions.map((known) => known.id),
  );
  throw new CliError({
    code: 'action_not_found',
    happened: `There is no action ${JSON.stringify(id)}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
    next: [{ label: 'see all', command: 'intervene actions' }],
    exitStatus: exitStatus.usage,
  });
}

function parameterFacts(action: ActionDeclaration): (readonly [string, Piece])[] {
  return Object.entries(action.parameters.shape).map(([name, schema]) => {
    const parameter = schema as z.ZodType;
    const optional = parameter.safeParse(undefined).success ? ', optional' : '';
    const described = parameter.description ?? innerDescription(parameter);
    return [`--param ${name}=`, `${described}${optional}`];
  });
}

function innerDescription(schema: z.ZodType): string {
  if (schema instanceof z.ZodOptional) {
    const inner = schema.unwrap() as z.ZodType;
    return inner.description ?? '';
  }
  return '';
}

function classMeaning(action: ActionDeclaration): string {
  if (action.class === 'A') return 'reads only';
  return action.class === 'B'
    ? 'reversible change'
    : 'destructive, hard to undo, or as good as root';
}

function bodyOf(action: ActionDeclaration): ActionBody {
  return {
    id: action.id,
    version: action.version,
    title: action.title,
    sentence: action.sentence,
    class: action.class,
    plans: action.plans,
    undo: action.undo,
    usualDuration: action.usualDuration,
    capabilities: [...action.capabilities],
    parameters: z.toJSONSchema(action.parameters) as Record<string, unknown>,
  };
}
