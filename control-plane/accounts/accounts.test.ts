import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTestApi } from '../../test/fixtures/http-api.ts';
import type { ApiPerson, ErrorBody, TestApi } from '../../test/fixtures/http-api.ts';
import { readChain } from '../audit/audit-store.ts';
import { ensureFirstAdmin } from './first-admin.ts';
import { createToken, hashToken } from './token.ts';

const test = useTestDatabase();
let api: TestApi;
let admin: ApiPerson;

beforeAll(async () => {
  api = createTestApi(test.database);
  admin = await api.person('admin');
});
afterAll(() => api.close());

interface Invitation {
  person: { id: string; name: string; role: string; accountId: string | null };
  invitation: string;
  expiresAt: string;
}
interface NewToken {
  id: string;
  token: string;
  label: string;
  person: { id: string };
}

async function invite(body: Record<string, unknown>): Promise<Invitation> {
  const answer = await admin.post<Invitation>('/api/v1/people', body);
  expect(answer.status).toBe(201);
  return answer.body;
}
const redeem = <T = NewToken>(invitation: string) =>
  api.request<T>('POST', '/api/v1/invitations/redeem', undefined, { invitation, label: 'laptop' });

describe('tokens', () => {
  it('are 256 bits with a prefix that says what they are, and only their hash is stored', async () => {
    const token = createToken('api');
    expect(token).toMatch(/^ivt_[A-Za-z0-9_-]{43}$/);
    expect(hashToken('api', token)).toHaveLength(32);
    for (const other of [
      createToken('invitation'),
      'ivt_short',
      `${token}x`,
      '',
      `ivt_${'.'.repeat(43)}`,
    ]) {
      expect(hashToken('api', other)).toBeUndefined();
    }
    const { token: secret } = (await admin.post<NewToken>('/api/v1/tokens', { label: 'a' })).body;
    const everything = await test.database.query('select to_jsonb(t) as row from tokens t');
    expect(JSON.stringify(everything)).not.toContain(secret.slice(4));
  });

  it('work until they are revoked, and a person sees and ends only their own', async () => {
    const engineer = await api.person('engineer');
    const made = (await engineer.post<NewToken>('/api/v1/tokens', { label: 'ci' })).body;
    expect(made).toMatchObject({ label: 'ci', person: { id: engineer.caller.personId } });
    const who = () => api.request('GET', '/api/v1/whoami', made.token);
    expect((await who()).status).toBe(200);

    const listed = (await engineer.get<{ items: object[] }>('/api/v1/tokens')).body.items;
    expect(listed.map((row) => Object.keys(row).toSorted())).toEqual(
      Array(2).fill(['createdAt', 'expiresAt', 'id', 'label']),
    );
    expect((await admin.delete(`/api/v1/tokens/${made.id}`)).status).toBe(404);
    expect((await who()).status).toBe(200);
    expect((await engineer.delete(`/api/v1/tokens/${made.id}`)).status).toBe(204);
    expect((await who()).status).toBe(401);
    expect((await engineer.delete(`/api/v1/tokens/${made.id}`)).status).toBe(404);
  });

  it('that have expired are not accepted', async () => {
    const engineer = await api.person('engineer');
    await test.database.query(
      `update tokens set expires_at = now() - interval '1 second' where person_id = $1`,
      [engineer.caller.personId],
    );
    expect((await engineer.get('/api/v1/whoami')).status).toBe(401);
  });
});

describe('an invitation', () => {
  it('turns into one token, once, even when it is redeemed twice at the same moment', async () => {
    const { invitation, person } = await invite({ name: 'Ada', role: 'engineer' });
    const answers = await Promise.all(Array.from({ length: 5 }, () => redeem(invitation)));
    expect(answers.map((answer) => answer.status).toSorted((a, b) => a - b)).toEqual([
      201, 403, 403, 403, 403,
    ]);
    const { token } = answers.find((answer) => answer.status === 201)!.body;
    const who = await api.request('GET', '/api/v1/whoami', token);
    expect(who.body).toMatchObject({ id: person.id, name: 'Ada', role: 'engineer' });
    expect((await redeem<ErrorBody>(invitation)).body.error).toMatchObject({
      code: 'invitation_invalid',
      safe: expect.any(String) as string,
    });
  });

  it('holds for seven days', async () => {
    const { invitation, expiresAt, person } = await invite({ name: 'Late', role: 'engineer' });
    const days = (new Date(expiresAt).getTime() - Date.now()) / (24 * 3600_000);
    expect(days).toBeGreaterThan(6.99);
    expect(days).toBeLessThanOrEqual(7);
    await test.database.query('update tokens set expires_at = now() where person_id = $1', [
      person.id,
    ]);
    expect((await redeem(invitation)).status).toBe(403);
  });

  it('is worth nothing as a token, nor a token as an invitation', async () => {
    const { invitation } = await invite({ name: 'Mix', role: 'engineer' });
    expect((await api.request('GET', '/api/v1/whoami', invitation)).status).toBe(401);
    expect((await redeem(admin.token)).status).toBe(403);
  });

  it('belongs to an account for clients and only for them', async () => {
    const refused = async (body: object) =>
      (await admin.post<ErrorBody>('/api/v1/people', body)).body.error.code;
    expect(await refused({ name: 'C1', role: 'client' })).toBe('account_missing');
    expect(await refused({ name: 'E1', role: 'engineer', account: 'x' })).toBe(
      'account_not_wanted',
    );
    expect(await refused({ name: 'C1', role: 'client', account: 'nowhere' })).toBe(
      'account_not_found',
    );
    const { name, id } = await api.account();
    const { person } = await invite({ name: 'C1', role: 'client', account: name });
    expect(person.accountId).toBe(id);
    expect(await refused({ name: 'C1', role: 'client', account: name })).toBe('person_name_taken');
  });
});

describe('people', () => {
  it('that are removed lose their tokens and their invitation at once', async () => {
    const { invitation, person } = await invite({ name: 'Gone', role: 'engineer' });
    const { token } = (await redeem(invitation)).body;
    const open = await invite({ name: 'Never came', role: 'engineer' });
    expect((await admin.delete(`/api/v1/people/${person.id}`)).status).toBe(204);
    expect((await admin.delete(`/api/v1/people/${encodeURIComponent('Never came')}`)).status).toBe(
      204,
    );
    expect((await api.request('GET', '/api/v1/whoami', token)).status).toBe(401);
    expect((await redeem(open.invitation)).status).toBe(403);
    // The name is free again.
    await invite({ name: 'Gone', role: 'engineer' });
  });

  it('always keep one admin, also when two remove each other at once', async () => {
    const other = await api.person('admin');
    const answers = await Promise.all([
      admin.delete(`/api/v1/people/${other.caller.personId}`),
      other.delete(`/api/v1/people/${admin.caller.personId}`),
    ]);
    const admins = await test.database.query<{ id: string }>(
      `select id from people where role = 'admin' and removed_at is null`,
    );
    expect(answers.filter((answer) => answer.status === 204)).toHaveLength(1);
    expect(admins).toHaveLength(1);
    if (admins[0]!.id === other.caller.personId) admin = other;
  });

  it('are listed page by page, by name', async () => {
    const { name } = await api.account();
    for (const person of ['p3', 'p1', 'p2'])
      await invite({ name: person, role: 'client', account: name });
    const found: string[] = [];
    let next: string | null = '';
    while (next !== null) {
      const query: string = next === '' ? '' : `&after=${next}`;
      const page = await admin.get<{ items: { name: string }[]; next: string | null }>(
        `/api/v1/people?limit=2${query}`,
      );
      expect(page.body.items.length).toBeLessThanOrEqual(2);
      found.push(...page.body.items.map((row) => row.name));
      next = page.body.next;
    }
    const all = await admin.get<{ items: { name: string }[] }>('/api/v1/people?limit=500');
    expect(found).toEqual(all.body.items.map((row) => row.name));
    expect(found).toEqual(expect.arrayContaining(['p1', 'p2', 'p3']));
    expect((await admin.get('/api/v1/people?after=%21')).status).toBe(400);
  });

  it('and accounts have names that can be said, typed and put in a path', async () => {
    for (const name of ['', ' a', 'a/b', 'a\nb', 'a\u202eb', 'x'.repeat(101), 'a\u0000b']) {
      expect((await admin.post('/api/v1/accounts', { name })).status).toBe(400);
    }
    for (const name of ['Zoë & Söhne GmbH', '株式会社', "O'Neil"]) {
      expect((await admin.post('/api/v1/accounts', { name })).status).toBe(201);
      const again = await admin.post<ErrorBody>('/api/v1/accounts', { name });
      expect(again.body.error.code).toBe('account_name_taken');
    }
  });
});

describe('the first start', () => {
  it('makes one admin whose token works, and a second start makes none', async () => {
    await test.database.query(`update people set removed_at = now() where role = 'admin'`);
    const kept: string[] = [];
    const both = await Promise.all([
      ensureFirstAdmin(test.database, (token) => kept.push(token)),
      ensureFirstAdmin(test.database, (token) => kept.push(token)),
    ]);
    expect(both.filter(Boolean)).toHaveLength(1);
    expect(kept).toHaveLength(1);
    const who = await api.request<{ role: string }>('GET', '/api/v1/whoami', kept[0]);
    expect(who.body.role).toBe('admin');
  });

  it('makes no admin when the token cannot be kept', async () => {
    await test.database.query(`update people set removed_at = now() where role = 'admin'`);
    const failing = ensureFirstAdmin(test.database, () => {
      throw new Error('disk full');
    });
    await expect(failing).rejects.toThrow('disk full');
    expect(await ensureFirstAdmin(test.database, () => {})).toBe(true);
  });

  it('and everything else about people stands in the audit, with no secret', async () => {
    const entries = await readChain(test.database, 'operator');
    const kinds = new Set(entries.map((row) => (JSON.parse(row.entry) as { kind: string }).kind));
    expect([...kinds]).toEqual(
      expect.arrayContaining([
        'person.invited',
        'invitation.redeemed',
        'token.created',
        'token.revoked',
        'person.removed',
        'person.created',
      ]),
    );
    expect(JSON.stringify(entries)).not.toMatch(/iv[ti]_[A-Za-z0-9_-]{43}/);
  });
});
