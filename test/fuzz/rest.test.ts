import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startAgentSide } from '../fixtures/agent-side.ts';
import type { TestAgentSide } from '../fixtures/agent-side.ts';
import { useTestDatabase } from '../fixtures/database.ts';
import type { ApiPerson, ErrorBody } from '../fixtures/http-api.ts';
import { createTenant } from '../fixtures/tenant.ts';
import type { Tenant } from '../fixtures/tenant.ts';
import { createChance, NASTY_TEXTS, NASTY_VALUES } from './mutation.ts';

const PER_ROUTE = 120;
const GUESSES = 200;

const chance = createChance();
const test = useTestDatabase();
let side: TestAgentSide;
let tenant: Tenant;
let people: ApiPerson[];

beforeAll(async () => {
  side = await startAgentSide(test.database);
  const { api } = side;
  const engineer = await api.person('engineer');
  tenant = await createTenant(api, test.database, engineer, 'acme');
  people = [engineer, await api.person('admin'), await api.person('lead'), tenant.client];
});
afterAll(() => side.close());

interface Schema {
  type?: string;
  enum?: unknown[];
  properties?: Record<string, Schema>;
  items?: Schema;
  anyOf?: Schema[];
  oneOf?: Schema[];
  allOf?: Schema[];
  $ref?: string;
}
interface Operation {
  parameters?: { name: string; in: string }[];
  requestBody?: { content: Record<string, { schema: Schema }> };
}
interface Description {
  paths: Record<string, Record<string, Operation>>;
  components?: { schemas?: Record<string, Schema> };
}

/** Something of about the form that a schema asks for; some of it is always wrong. */
function almost(schema: Schema | undefined, description: Description, depth = 0): unknown {
  if (schema === undefined || depth > 6 || chance.below(6) === 0) return chance.pick(NASTY_VALUES);
  if (schema.$ref !== undefined) {
    const name = schema.$ref.split('/').at(-1)!;
    return almost(description.components?.schemas?.[name], description, depth + 1);
  }
  const variants = schema.anyOf ?? schema.oneOf ?? schema.allOf;
  if (variants !== undefined) return almost(chance.pick(variants), description, depth + 1);
  if (schema.enum !== undefined) return chance.pick(schema.enum);
  switch (schema.type) {
    case 'object': {
      const entries = Object.entries(schema.properties ?? {}).map(([name, inner]) => [
        name,
        almost(inner, description, depth + 1),
      ]);
      if (chance.below(8) === 0) entries.push([chance.pick(NASTY_TEXTS), 1]);
      return Object.fromEntries(entries) as object;
    }
    case 'array':
      return Array.from({ length: chance.below(4) }, () =>
        almost(schema.items, description, depth + 1),
      );
    case 'integer':
    case 'number':
      return chance.pick([0, 1, -1, 2 ** 31, 2 ** 53, 1.5]);
    case 'boolean':
      return chance.below(2) === 1;
    default:
      return chance.pick([
        ...NASTY_TEXTS,
        'acme',
        'web-04',
        randomUUID(),
        'AAAA',
        '2026-01-01T00:00:00Z',
      ]);
  }
}

const reference = () =>
  chance.pick([
    ...[tenant.id, tenant.server, tenant.intervention.id, tenant.job, tenant.grant, randomUUID()],
    ...['1', '1/1', '0', '-1', '99999999999999999999', 'acme'],
    ...NASTY_TEXTS.filter((text) => text !== '' && text.isWellFormed()).map(encodeURIComponent),
    ...['%', '%ff', '%00', '%2e%2e%2f', '..%2f', '%E0%A4%A'],
  ]);

function requestTo(path: string, operation: Operation, description: Description) {
  const query = (operation.parameters ?? [])
    .filter((parameter) => parameter.in === 'query' && chance.below(2) === 0)
    .map(({ name }) => `${name}=${reference()}`);
  const filled = path.replaceAll(/\{\w+\}/g, reference);
  const schema = Object.values(operation.requestBody?.content ?? {})[0]?.schema;
  const body = schema === undefined ? undefined : rawBody(almost(schema, description));
  return { url: filled + (query.length > 0 ? `?${query.join('&')}` : ''), body };
}

function rawBody(value: unknown): string {
  const text = JSON.stringify(value) ?? 'null';
  return chance.pick([
    () => text,
    () => text,
    () => text,
    () => text.slice(0, chance.below(text.length + 1)),
    () => `${text}${text}`,
    () => text.replace('{', '{"__proto__":{"role":"admin"},'),
    () => text.replaceAll('"', "'"),
  ])();
}

describe(`requests of any content (seed ${chance.seed})`, () => {
  it(`to every route, ${PER_ROUTE} each, are answered, and never by a fault of the server`, async () => {
    const { app } = side.api;
    const description = (await (await app.request('/api/openapi.json')).json()) as Description;
    const faults: string[] = [];
    let count = 0;
    for (const [path, operations] of Object.entries(description.paths)) {
      for (const [method, operation] of Object.entries(operations)) {
        for (let run = 0; run < PER_ROUTE; run++) {
          const { url, body } = requestTo(path, operation, description);
          const person = chance.pick(people);
          const response = await app.request(url, {
            method: method.toUpperCase(),
            headers: {
              authorization: `Bearer ${person.token}`,
              ...(body !== undefined && { 'content-type': 'application/json' }),
            },
            ...(body !== undefined && { body }),
            signal: AbortSignal.timeout(15_000),
          });
          count++;
          if (response.status >= 500) {
            faults.push(`${response.status} ${method} ${url} ${body?.slice(0, 300)}`);
          } else if (response.status >= 400 && path.startsWith('/api/v1')) {
            const answer = (await response.json()) as ErrorBody;
            expect(answer.error.code, `${method} ${url}`).toMatch(/^[a-z_]+$/);
          }
          await response.body?.cancel().catch(() => undefined);
        }
      }
    }
    expect(faults).toEqual([]);
    expect(count).toBeGreaterThan(PER_ROUTE * 30);
  });

  it(`with ${GUESSES} tokens that nobody was given are all refused in one way`, async () => {
    const token = tenant.client.token;
    const answers = new Set<string>();
    for (let run = 0; run < GUESSES; run++) {
      const guess = chance.pick([
        () => chance.pick(NASTY_TEXTS).replaceAll(/[^\x21-\x7e]/g, ''),
        () => token.slice(0, chance.below(token.length)),
        () => `${token}${chance.pick(['A', '=', ' x', '%00'])}`,
        () => token.toUpperCase(),
        () => token.replace(/^[^_]+_/, chance.pick(['', 'ivi_', 'ive_'])),
        () => token.slice(0, -1) + (token.endsWith('A') ? 'B' : 'A'),
        () => chance.bytes(32).toString('base64url'),
      ])();
      if (guess.trim() === token || guess.trim() === '') continue;
      const { status, body } = await side.api.request<ErrorBody>('GET', '/api/v1/servers', guess);
      const isToken = /^[\w-]{1,200}$/.test(guess);
      answers.add(`${isToken ? 'token' : 'text'}: ${status} ${body.error.code}`);
    }
    // After a while whoever guesses is made to wait; nothing tells a near guess from a wild one.
    expect([
      ...['text: 401 token_missing', 'text: 429 too_many_attempts'],
      ...['token: 401 token_invalid', 'token: 429 too_many_attempts'],
    ]).toEqual(expect.arrayContaining([...answers]));
    expect(answers).toContain('token: 401 token_invalid');
    expect(answers).toContain('token: 429 too_many_attempts');
    expect((await tenant.client.get('/api/v1/servers')).status).toBe(200);
  });
});
