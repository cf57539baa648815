import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createOperation, startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { TestAgentSide } from '../../test/fixtures/agent-side.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTenant } from '../../test/fixtures/tenant.ts';
import type { Tenant } from '../../test/fixtures/tenant.ts';
import { askers, expectedAnswers } from './testing/expected-answers.ts';
import type { Asker, Question } from './testing/expected-answers.ts';
import { createSubject } from './testing/subject.ts';
import type { Subject } from './testing/subject.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let routes: string[];
let subject: Subject;
let own: Tenant;
let other: Tenant;
let tokens: Record<Asker, string | undefined>;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  const { api } = side;
  const operation = await createOperation(api);
  own = await createTenant(api, test.database, operation.engineer, 'acme');
  other = await createTenant(api, test.database, operation.engineer, 'bolt');
  subject = createSubject(own, operation, test.database);
  tokens = {
    nobody: undefined,
    client: own.client.token,
    stranger: other.client.token,
    engineer: operation.engineer.token,
    lead: operation.leader.token,
    auditor: (await api.person('auditor')).token,
    admin: operation.admin.token,
  };
  const { body } = await api.request<{ paths: Record<string, object> }>('GET', '/api/openapi.json');
  routes = Object.entries(body.paths).flatMap(([path, methods]) =>
    Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
  );
});
afterAll(() => side.close());

async function ask(route: string, asker: Asker) {
  const [method = '', pattern = ''] = route.split(' ');
  const question: Question = (await expectedAnswers[route]!.ask?.(subject, asker)) ?? {};
  const path = pattern.replace(/\{\w+\}/, question.ref ?? '') + (question.query ?? '');
  const body = question.body ?? (method === 'POST' ? {} : undefined);
  const answer = await side.api.request(method, path, tokens[asker], body);
  return { ...answer, asked: `${path} ${JSON.stringify(body)}` };
}

describe('every route of the OpenAPI document', () => {
  it('has a row of expected answers, and every row a route', () => {
    expect(Object.keys(expectedAnswers).toSorted()).toEqual(routes.toSorted());
  });

  it.each(Object.keys(expectedAnswers))('%s answers everybody as it should', async (route) => {
    const got: Record<string, number> = {};
    for (const asker of askers) got[asker] = (await ask(route, asker)).status;
    const statuses = expectedAnswers[route]!.answers.split(' ').map(Number);
    expect(got).toEqual(Object.fromEntries(askers.map((asker, at) => [asker, statuses[at]])));
  });

  it('tells a client of another account nothing of this one', async () => {
    // Whoever holds an invitation is the one who was invited.
    for (const route of routes.filter((one) => !one.endsWith('/redeem'))) {
      const { status, body, asked } = await ask(route, 'stranger');
      const told = JSON.stringify(body);
      for (const mark of own.marks.filter((one) => !asked.includes(one))) {
        expect(`${route} ${status} ${told}`).not.toContain(mark);
      }
    }
  });

  it('shows what is sealed of a secret to nobody but the client', async () => {
    await subject.newMadeCredential();
    for (const route of routes.filter((one) => one.startsWith('GET '))) {
      for (const asker of askers.filter((one) => one !== 'client')) {
        const { status, body } = await ask(route, asker);
        const told = JSON.stringify(body);
        const shown = subject.sealed.filter((sealed) => told.includes(sealed));
        expect({ route, asker, status, shown }).toMatchObject({ shown: [] });
      }
    }
    const { body } = await ask('GET /api/v1/credentials/{ref}/sealed', 'client');
    expect(subject.sealed.filter((sealed) => JSON.stringify(body).includes(sealed))).toHaveLength(
      1,
    );
  });

  it('says to an auditor, who changes nothing, what each role is told that may not', async () => {
    for (const route of routes.filter((one) => !one.startsWith('GET '))) {
      const { status, body } = await ask(route, 'auditor');
      if (status !== 403) continue;
      expect(body).toMatchObject({
        error: { code: 'role_not_allowed', safe: 'Nothing was changed.' },
      });
    }
  });
});
