import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTestApi } from '../../test/fixtures/http-api.ts';
import type { ApiPerson, ErrorBody, TestApi } from '../../test/fixtures/http-api.ts';

const test = useTestDatabase();
let api: TestApi;
let engineer: ApiPerson;
let acme: Awaited<ReturnType<TestApi['account']>>;
let bolt: Awaited<ReturnType<TestApi['account']>>;

interface Server {
  id: string;
  name: string;
  accountId: string;
  accountName: string;
  addresses: string[];
  agent: object | null;
}

beforeAll(async () => {
  api = createTestApi(test.database);
  engineer = await api.person('engineer');
  acme = await api.account('acme');
  bolt = await api.account('bolt');
});
afterAll(() => api.close());

const add = async (person: ApiPerson, body: object) =>
  (await person.post<Server>('/api/v1/servers', body)).body;
const find = (person: ApiPerson, reference: string) =>
  person.get<Server & ErrorBody>(`/api/v1/servers/${encodeURIComponent(reference)}`);

describe('servers', () => {
  it.each(['a\0b', 'a\ud800', '\udc00'])('have no name that is no text: %j', async (name) => {
    const answer = await acme.client.post<ErrorBody>('/api/v1/servers', { name });
    expect(answer.status).toBe(400);
    const inList = await acme.client.post('/api/v1/servers', { name: 'web-09', addresses: [name] });
    expect(inList.status).toBe(400);
  });

  it('belong to the account of the client who adds them', async () => {
    const server = await add(acme.client, { name: 'web-01', addresses: ['192.0.2.7'] });
    expect(server).toMatchObject({
      accountId: acme.id,
      accountName: 'acme',
      addresses: ['192.0.2.7'],
      agent: null,
    });
    const foreign = await acme.client.post('/api/v1/servers', { name: 'x', account: 'bolt' });
    expect(foreign.status).toBe(404);
  });

  it('are added for a named account by the provider', async () => {
    const missing = await engineer.post<ErrorBody>('/api/v1/servers', { name: 'db-01' });
    expect(missing.body.error.code).toBe('account_missing');
    expect(await add(engineer, { name: 'db-01', account: 'bolt' })).toMatchObject({
      accountId: bolt.id,
    });
    const again = await engineer.post<ErrorBody>('/api/v1/servers', {
      name: 'db-01',
      account: 'bolt',
    });
    expect([again.status, again.body.error.code]).toEqual([409, 'server_name_taken']);
  });

  it('are found by id, name, account and name, and the end of the id', async () => {
    const server = await add(acme.client, { name: 'ref' });
    for (const reference of [server.id, 'ref', 'acme/ref', server.id.slice(-8)]) {
      expect((await find(acme.client, reference)).body.id).toBe(server.id);
    }
    for (const reference of ['re', server.id.slice(-3), '%', '____', 'acme/other', 'nothing']) {
      expect((await find(acme.client, reference)).status).toBe(404);
    }
  });

  it('with the same name in two accounts are ambiguous to the provider, never to a client', async () => {
    const one = await add(acme.client, { name: 'same' });
    const two = await add(bolt.client, { name: 'same' });
    const asked = await find(engineer, 'same');
    expect([asked.status, asked.body.error.code]).toEqual([409, 'server_ambiguous']);
    expect((await find(engineer, 'bolt/same')).body.id).toBe(two.id);
    expect((await find(acme.client, 'same')).body.id).toBe(one.id);
  });

  it('of another account do not exist for a client, whatever they are called', async () => {
    const server = await add(bolt.client, { name: 'secret' });
    for (const reference of [server.id, 'secret', 'bolt/secret', server.id.slice(-8)]) {
      const answer = await find(acme.client, reference);
      expect([answer.status, answer.body.error.code]).toEqual([404, 'server_not_found']);
    }
    const listed = await acme.client.get<{ items: Server[] }>('/api/v1/servers?limit=500');
    expect(new Set(listed.body.items.map((row) => row.accountId))).toEqual(new Set([acme.id]));
  });

  it('are listed page by page without losing any that share a name', async () => {
    const seen: string[] = [];
    let after = '';
    for (;;) {
      const page = await engineer.get<{ items: Server[]; next: string | null }>(
        `/api/v1/servers?limit=1${after}`,
      );
      seen.push(...page.body.items.map((row) => row.id));
      if (page.body.next === null) break;
      after = `&after=${page.body.next}`;
    }
    const rows = await test.database.query<{ id: string }>(
      'select id from servers order by name, id',
    );
    expect(seen).toEqual(rows.map((row) => row.id));
  });

  it('stand in the audit of their account', async () => {
    const entries = await acme.client.get<{ items: { kind: string }[] }>(
      '/api/v1/audit?chain=account:acme',
    );
    expect(entries.body.items.map((row) => row.kind)).toContain('server.created');
    expect((await acme.client.get('/api/v1/audit?chain=account:bolt')).status).toBe(404);
    expect((await acme.client.get('/api/v1/audit?chain=operator')).status).toBe(404);
    const mine = await acme.client.get<{ items: { chain: string }[] }>('/api/v1/audit');
    expect(new Set(mine.body.items.map((row) => row.chain))).toEqual(
      new Set([`account:${acme.id}`]),
    );
  });
});
