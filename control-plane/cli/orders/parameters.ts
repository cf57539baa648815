import { z } from 'zod';
import { shell } from '../../../proto/documents/command-text.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { parseStrictJson } from '../../../proto/documents/strict-json.ts';
import { usageError } from '../cli-error.ts';
import { suggest } from '../output/suggestion.ts';

export type Parameters = Record<string, JsonValue>;

/**
 * Reads `name=value` words as the parameters an action declares: text for texts, JSON for everything else.
 * `words` are what stood after `--`; only `command.run` takes them, as its argv. Throws CliError.
 */
export function parseParameters(
  action: ActionDeclaration,
  pairs: readonly string[],
  words: readonly string[] = [],
): Parameters {
  const values: Parameters = {};
  for (const pair of pairs) {
    const [name, text] = splitPair(pair);
    if (Object.hasOwn(values, name)) throw wrongParameter(action, `${name} is given twice`);
    values[name] = parseValue(action, name, text);
  }
  if (words.length > 0) {
    if (action.parameters.shape['argv'] === undefined) {
      throw wrongParameter(action, `${action.id} takes no words, only --param name=value`);
    }
    if ('argv' in values) throw wrongParameter(action, 'argv is given twice');
    values['argv'] = [...words];
  }
  const checked = action.parameters.safeParse(values);
  if (checked.success) return checked.data as Parameters;
  const issue = checked.error.issues[0];
  const path = issue?.path.join('.') ?? '';
  const hint =
    path === 'argv' && values['argv'] === undefined
      ? 'write the program and its arguments after --'
      : isMissing(values, issue?.path ?? [])
        ? `${action.id} needs ${path}: --param ${path}=VALUE`
        : toldIssue(path === '' ? action.id : path, issue?.message ?? 'invalid');
  throw wrongParameter(action, hint);
}

/** Messages of ours go on from the name. */
function toldIssue(name: string, message: string): string {
  return message.startsWith('must ') ? `${name} ${message}` : `${name}: ${message}`;
}

function isMissing(values: Parameters, path: readonly PropertyKey[]): boolean {
  return path.length === 1 && !Object.hasOwn(values, String(path[0]));
}

/** Reads the value of one parameter as its schema wants it. Throws CliError for an unknown name. */
export function parseValue(action: ActionDeclaration, name: string, text: string): JsonValue {
  const { shape } = action.parameters;
  const schema = Object.hasOwn(shape, name) ? (shape[name] as z.ZodType) : undefined;
  if (schema === undefined) {
    const known = Object.keys(action.parameters.shape);
    const meant = suggest(name, known);
    throw wrongParameter(
      action,
      `${action.id} has no parameter ${JSON.stringify(name)}${meant === null ? '' : `; did you mean ${meant}?`}`,
    );
  }
  if (takesText(schema)) return text;
  try {
    return parseStrictJson(Buffer.from(text)) as JsonValue;
  } catch {
    throw wrongParameter(action, `${name} wants JSON, such as ${exampleOf(schema)}`);
  }
}

/** What has to be said of an action besides its name, with words to be replaced: `--param unit=UNIT`, `-- COMMAND`. */
export function neededWords({ parameters }: ActionDeclaration): string[] {
  const needed = Object.entries(parameters.shape).flatMap(([name, schema]) =>
    (schema as z.ZodType).safeParse(undefined).success ? [] : [name],
  );
  return [
    ...needed
      .filter((name) => name !== 'argv')
      .flatMap((name) => ['--param', `${name}=${name.toUpperCase()}`]),
    ...(needed.includes('argv') ? ['--', 'COMMAND'] : []),
  ];
}

/** Parameters as they are typed, for commands to copy. */
export function paramWords(parameters: Readonly<Record<string, unknown>>): string[] {
  return Object.entries(parameters).flatMap(([name, value]) => [
    '--param',
    `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
}

export function splitPair(pair: string): [name: string, value: string] {
  const at = pair.indexOf('=');
  if (at < 1) {
    throw usageError(`${JSON.stringify(pair)} is not of the form name=value.`);
  }
  return [pair.slice(0, at), pair.slice(at + 1)];
}

function takesText(schema: z.ZodType): boolean {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodUnion) {
    return inner.options.every((option) => takesText(option as z.ZodType));
  }
  return [z.ZodString, z.ZodStringFormat, z.ZodEnum].some((type) => inner instanceof type);
}

function unwrap(schema: z.ZodType): z.ZodType {
  let inner = schema;
  while (
    inner instanceof z.ZodOptional ||
    inner instanceof z.ZodDefault ||
    inner instanceof z.ZodNullable
  ) {
    inner = inner.unwrap() as z.ZodType;
  }
  return inner;
}

function exampleOf(schema: z.ZodType): string {
  const inner = unwrap(schema);
  if (inner instanceof z.ZodArray) return '["one","two"]';
  if (inner instanceof z.ZodBoolean) return 'true';
  if (inner instanceof z.ZodNumber) return '1';
  return '{"name":"value"}';
}

function wrongParameter(action: ActionDeclaration, what: string) {
  return usageError(
    `${what}.`,
    [{ label: 'see its parameters', command: shell`intervene actions ${action.id}` }],
    'parameters_invalid',
  );
}
