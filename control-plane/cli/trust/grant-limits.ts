import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { actionPattern, matchesAction } from '../../../proto/documents/fields.ts';
import type { ActionClass, JsonValue } from '../../../proto/documents/fields.ts';
import type { Grant } from '../../../proto/documents/kinds/grant.ts';
import { usageError } from '../cli-error.ts';
import { parseValue, splitPair } from '../orders/parameters.ts';
import { suggest } from '../output/suggestion.ts';

type AllowedAction = Grant['actions'][number];

/**
 * Reads `--actions a.*,b.c` and every `--limit [PATTERN:]parameter=value`. A limit without a pattern holds
 * for each pattern all of whose actions have that parameter; a value given twice allows both. Throws
 * CliError for words that match no action, and for limits that would hold for nothing.
 */
export function allowedActions(
  patterns: readonly string[],
  limits: readonly string[],
  catalogue: readonly ActionDeclaration[],
): AllowedAction[] {
  const entries = patterns.map((pattern) => ({
    pattern,
    matched: matchedBy(pattern, catalogue),
    parameters: {} as Record<string, JsonValue[]>,
  }));
  for (const limit of limits) applyLimit(limit, entries);
  return entries.map(({ pattern, parameters }) =>
    Object.keys(parameters).length === 0 ? { pattern } : { pattern, parameters },
  );
}

/** The highest class among the actions that the patterns match. */
export function highestClassOf(
  patterns: readonly string[],
  catalogue: readonly ActionDeclaration[],
): ActionClass {
  const classes = patterns.flatMap((pattern) => matchedBy(pattern, catalogue)).map((a) => a.class);
  if (classes.includes('C')) return 'C';
  return classes.includes('B') ? 'B' : 'A';
}

interface Entry {
  pattern: string;
  matched: ActionDeclaration[];
  parameters: Record<string, JsonValue[]>;
}

function matchedBy(pattern: string, catalogue: readonly ActionDeclaration[]): ActionDeclaration[] {
  const matched = actionPattern.safeParse(pattern).success
    ? catalogue.filter((action) => matchesAction(pattern, action.id))
    : [];
  if (matched.length > 0) return matched;
  const known = catalogue.flatMap((action) => [action.id, `${action.id.split('.', 1)[0]}.*`]);
  const meant = suggest(pattern, [...new Set(known)]);
  throw usageError(
    `No action is named ${JSON.stringify(pattern)}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
    [{ label: 'see all', command: 'intervene actions' }],
    'action_not_found',
  );
}

function applyLimit(limit: string, entries: readonly Entry[]): void {
  const [left, text] = splitPair(limit);
  const colon = left.indexOf(':');
  const wanted = colon === -1 ? null : left.slice(0, colon);
  const name = left.slice(colon + 1);
  const named = wanted === null ? entries : entries.filter((entry) => entry.pattern === wanted);
  const fitting = named.filter((entry) =>
    entry.matched.some((action) => hasParameter(action, name)),
  );
  if (fitting.length === 0) {
    throw usageError(
      `--limit ${limit}: none of the actions given ${wanted === null ? '' : `as ${wanted} `}has a parameter ${JSON.stringify(name)}.`,
      [{ label: 'see the parameters', command: 'intervene actions ACTION' }],
    );
  }
  for (const entry of fitting) {
    const without = entry.matched.find((action) => !hasParameter(action, name));
    if (without !== undefined) {
      throw usageError(
        `--limit ${limit}: ${entry.pattern} also allows ${without.id}, which has no ${name}; name the actions one by one.`,
        [{ label: 'see all', command: 'intervene actions' }],
      );
    }
    const [action] = entry.matched;
    if (action === undefined) continue;
    (entry.parameters[name] ??= []).push(parseValue(action, name, text));
  }
}

function hasParameter(action: ActionDeclaration, name: string): boolean {
  return Object.hasOwn(action.parameters.shape, name);
}
