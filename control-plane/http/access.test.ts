import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { signDocument } from '../../proto/documents/document.ts';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { startAgentSide } from '../../test/fixtures/agent-side.ts';
import type { TestAgentSide } from '../../test/fixtures/agent-side.ts';
import type { ApiPerson, TestApi } from '../../test/fixtures/http-api.ts';
import { createTenant, sent } from '../../test/fixtures/tenant.ts';
import type { Tenant } from '../../test/fixtures/tenant.ts';
import { createWorldKey, uuidV7 } from '../../test/fixtures/trust-world.ts';
import { access } from './access.ts';

const test = useTestDatabase();
let side: TestAgentSide;
let api: TestApi;
let admin: ApiPerson;
let engineer: ApiPerson;

let own: Tenant;
let other: Tenant;

beforeAll(async () => {
  side = await startAgentSide(test.database);
  api = side.api;
  admin = await api.person('admin');
  engineer = await api.person('engineer');
  own = await createTenant(api, test.database, engineer, 'acme');
  other = await createTenant(api, test.database, engineer, 'bolt');
});
afterAll(() => side.close());

/** A request to each route about something of `tenant`, as complete as it can be made. */
function requestOf(route: string, tenant: Tenant): { path: string; body?: object } {
  const [, pattern = ''] = route.split(' ');
  const reference: Record<string, string> = {
    '/api/v1/people/:ref': randomUUID(),
    '/api/v1/tokens/:id': randomUUID(),
    '/api/v1/accounts/:ref/keys': tenant.id,
    '/api/v1/grants/:ref': tenant.grant,
  };
  const value = pattern.startsWith('/api/v1/servers/')
    ? tenant.server
    : pattern.startsWith('/api/v1/interventions/')
      ? tenant.intervention.id
      : pattern.startsWith('/api/v1/jobs/')
        ? tenant.job
        : reference[pattern];
  const path = pattern.replace(':file', 'install.sh').replace(/:(?:ref|id)/, () => value!);
  const { world } = tenant;
  const unsignedByMe = signDocument(
    'root',
    {
      version: 1,
      previous: null,
      issuedAt: 1,
      threshold: 1,
      keys: [{ key: world.root.key, name: 'r', may: ['lead'] }],
    },
    [createWorldKey().signer],
  );
  const bodies: Record<string, object> = {
    'POST /api/v1/invitations/redeem': { invitation: 'ivi_none', label: 'x' },
    'POST /api/v1/accounts': { name: `new-${randomUUID().slice(0, 8)}` },
    'POST /api/v1/people': {
      name: `p-${randomUUID().slice(0, 8)}`,
      role: 'client',
      account: tenant.id,
    },
    'POST /api/v1/tokens': { label: 'x' },
    'POST /api/v1/servers': { name: `s-${randomUUID().slice(0, 8)}`, account: tenant.id },
    'POST /api/v1/servers/:ref/enrollments': { mode: 'resident' },
    'POST /api/v1/trust/root': sent(unsignedByMe),
    'POST /api/v1/trust/certifications': sent(world.lead.envelope),
    'POST /api/v1/accounts/:ref/keys': sent(world.account.envelope),
    'POST /api/v1/grants': sent(world.signGrant().envelope),
    'POST /api/v1/revocations': { grant: tenant.grant, afterStep: true },
    'POST /api/v1/interventions': { server: tenant.server, ticket: randomUUID() },
    'POST /api/v1/jobs': { order: sent(world.signOrder({ job: uuidV7() }).envelope).envelope },
    'POST /api/v1/jobs/:ref/cancel': { mode: 'now' },
  };
  const body = bodies[route] ?? (route.startsWith('POST') ? {} : undefined);
  return { path, ...(body && { body }) };
}

async function ask(route: string, tenant: Tenant, token?: string) {
  const { path, body } = requestOf(route, tenant);
  return api.request(route.split(' ')[0]!, path, token, body);
}

/** Routes about one thing of one account: whoever may not see it is told that it does not exist. */
const ABOUT_AN_ACCOUNT = new Set([
  'POST /api/v1/servers',
  'GET /api/v1/servers/:ref',
  'POST /api/v1/servers/:ref/enrollments',
  'GET /api/v1/accounts/:ref/keys',
  'POST /api/v1/accounts/:ref/keys',
  'GET /api/v1/grants/:ref',
  'POST /api/v1/revocations',
  'GET /api/v1/interventions/:ref',
  'GET /api/v1/interventions/:ref/pack',
  'GET /api/v1/jobs/:ref',
  'POST /api/v1/jobs/:ref/cancel',
  'GET /api/v1/jobs/:ref/documents',
  'GET /api/v1/jobs/:ref/events',
  'GET /api/v1/jobs/:ref/log',
]);

const routes = Object.keys(access);
const protectedRoutes = routes.filter((route) => access[route] !== 'public');

describe('the table of who may call what', () => {
  it('has a row for every route, and a route for every row', () => {
    const registered = api.app.routes
      .filter((route) => route.method !== 'ALL')
      .map((route) => `${route.method} ${route.path}`);
    expect([...new Set(registered)].toSorted()).toEqual(routes.toSorted());
  });

  it('lets nobody past it without a valid token, whatever the route', async () => {
    for (const route of protectedRoutes) {
      expect(`${route} ${(await ask(route, own)).status}`).toBe(`${route} 401`);
    }
    // As many as one address may fail.
    for (const route of protectedRoutes.slice(0, 15)) {
      const answer = await ask(route, own, `ivt_${'x'.repeat(43)}`);
      expect(`${route} ${answer.status}`).toBe(`${route} 401`);
    }
  });

  it('answers 403 to every role that a row leaves out', async () => {
    let denied = 0;
    for (const route of protectedRoutes) {
      const row = access[route]!;
      const roles: readonly string[] = row === 'local' ? ['engineer', 'admin'] : (row as string[]);
      for (const person of [own.client, engineer, admin]) {
        if (roles.includes(person.caller.role)) continue;
        const answer = await ask(route, own, person.token);
        expect(`${route} ${person.caller.role} ${answer.status}`).toBe(
          `${route} ${person.caller.role} 403`,
        );
        denied++;
      }
    }
    expect(denied).toBeGreaterThan(15);
  });

  it('lets every role that a row names through to what is its own', async () => {
    for (const route of protectedRoutes) {
      const row = access[route]!;
      const roles: readonly string[] = row === 'local' ? ['engineer', 'admin'] : (row as string[]);
      for (const person of [own.client, engineer, admin]) {
        if (!roles.includes(person.caller.role)) continue;
        const answer = await ask(route, own, person.token);
        const code = (answer.body as { error?: { code?: string } })?.error?.code;
        const got = `${route} ${person.caller.role} ${answer.status} ${code}`;
        // The table let it pass; what the domain then says of the content is tested there.
        expect(got).not.toMatch(/ (?:401|500) |role_not_allowed|no_such_route/);
        const notFound = ABOUT_AN_ACCOUNT.has(route) ? / 404 / : / never /;
        expect(got).not.toMatch(notFound);
      }
    }
  });
});

describe('a client', () => {
  it('is told that nothing of another account exists, on every route that names something', async () => {
    for (const route of ABOUT_AN_ACCOUNT) {
      const answer = await ask(route, other, own.client.token);
      expect(`${route} ${answer.status}`).toBe(`${route} 404`);
      const text = JSON.stringify(answer.body);
      const { path, body } = requestOf(route, other);
      const known = `${path} ${JSON.stringify(body)}`;
      for (const mark of other.marks.filter((one) => !known.includes(one))) {
        expect(`${route} ${text}`).not.toContain(mark);
      }
    }
  });

  it('finds nothing of another account in any list, also when asking for it by name', async () => {
    const lists = routes.filter(
      (route) => route.startsWith('GET /api/v1/') && !route.includes('/:'),
    );
    expect(lists.length).toBeGreaterThan(9);
    for (const route of lists) {
      const path = route.slice('GET '.length);
      const plain = await own.client.get(`${path}?limit=500`);
      expect(`${route} ${plain.status}`).toBe(`${route} 200`);
      for (const mark of other.marks) {
        expect(`${route} ${JSON.stringify(plain.body)}`).not.toContain(mark);
      }
    }
    const filters = [
      `/api/v1/grants?server=${other.server}`,
      `/api/v1/interventions?server=${other.server}`,
      `/api/v1/jobs?server=${other.server}`,
      `/api/v1/jobs?intervention=${other.intervention.number}`,
      `/api/v1/jobs?intervention=${other.intervention.id}`,
      `/api/v1/audit?chain=intervention:${other.intervention.number}`,
      `/api/v1/audit?chain=account:${other.id}`,
      '/api/v1/audit?chain=operator',
    ];
    for (const path of filters) {
      expect(`${path} ${(await own.client.get(path)).status}`).toBe(`${path} 404`);
    }
  });

  it('reaches nothing of another account by number, name or end of an id either', async () => {
    const paths = [
      `/api/v1/servers/${other.name}-server`,
      `/api/v1/servers/${other.name}%2F${other.name}-server`,
      `/api/v1/servers/${other.server.slice(-8)}`,
      `/api/v1/accounts/${other.name}/keys`,
      `/api/v1/grants/${other.grant.slice(-8)}`,
      `/api/v1/interventions/${other.intervention.number}`,
      `/api/v1/interventions/${other.intervention.number}/pack`,
      `/api/v1/jobs/${other.intervention.number}.1`,
      `/api/v1/jobs/${other.intervention.number}%2F1`,
      `/api/v1/jobs/${other.job.slice(-8)}`,
      `/api/v1/jobs/${other.intervention.number}.1/log`,
      `/api/v1/jobs/${other.intervention.number}.1/events`,
      `/api/v1/jobs/${other.intervention.number}.1/documents`,
    ];
    for (const path of paths) {
      expect(`${path} ${(await own.client.get(path)).status}`).toBe(`${path} 404`);
      expect(`${path} ${(await other.client.get(path)).status}`).toBe(`${path} 200`);
    }
  });

  it('cannot add to another account by what it signs', async () => {
    const before = await test.database.query('select count(*) as count from grants');
    const mine = own.world;
    const forOther = mine.signGrant({
      account: other.id,
      servers: [{ id: other.server, name: 'x' }],
    });
    const onTheirServer = mine.signGrant({ servers: [{ id: other.server, name: 'x' }] });
    for (const { envelope } of [forOther, onTheirServer, other.world.signGrant()]) {
      const answer = await own.client.post('/api/v1/grants', sent(envelope));
      expect([400, 404]).toContain(answer.status);
    }
    expect(await test.database.query('select count(*) as count from grants')).toEqual(before);
    const revoke = mine.signRevoke({ grants: [other.grant], keys: [] });
    expect((await own.client.post('/api/v1/revocations', sent(revoke.envelope))).status).toBe(404);
    const rows = await test.database.query('select from revocations where subject = $1', [
      other.grant,
    ]);
    expect(rows).toEqual([]);
  });
});
