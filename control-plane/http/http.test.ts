import { Writable } from 'node:stream';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTestApi } from '../../test/fixtures/http-api.ts';
import type { ApiPerson, ErrorBody, TestApi } from '../../test/fixtures/http-api.ts';
import { DomainError } from '../domain-error.ts';
import { createHttpApp } from './app.ts';
import { preferredWaitMs } from './prefer.ts';

const test = useTestDatabase();
let api: TestApi;
let engineer: ApiPerson;

beforeAll(async () => {
  api = createTestApi(test.database);
  engineer = await api.person('engineer');
});
afterAll(() => api.close());

/** An app whose only routes are ones that the table makes public. */
function createProbe(answer: () => Response | Promise<Response>, lines: string[] = []) {
  const stream = new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      lines.push(chunk.toString());
      done();
    },
  });
  const app = createHttpApp({
    authenticate: async () => undefined,
    log: pino({ level: 'trace' }, stream),
    closing: new AbortController().signal,
  });
  app.get('/healthz', answer);
  app.get('/not-in-the-table', answer);
  return app;
}

describe('every answer', () => {
  it('forbids whatever a page could do, and names its request', async () => {
    const { headers } = await api.request('GET', '/healthz');
    expect(headers.get('content-security-policy')).toBe(
      "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('x-frame-options')).toBe('DENY');
    expect(headers.get('referrer-policy')).toBe('no-referrer');
    expect(headers.get('x-request-id')).toMatch(/^[0-9a-f-]{36}$/);
    expect(headers.get('strict-transport-security')).toBeNull();
    const answer = await engineer.get('/api/v1/whoami');
    expect(answer.headers.get('cache-control')).toBe('no-store');
    const secure = createHttpApp({
      authenticate: async () => undefined,
      log: pino({ level: 'silent' }),
      closing: new AbortController().signal,
      isSecure: true,
    });
    const over = await secure.request('/healthz');
    expect(over.headers.get('strict-transport-security')).toBe('max-age=31536000');
  });

  it('that is an error has the same shape and says what is safe and what to do', async () => {
    const missing = await api.request<ErrorBody>('GET', '/api/v1/whoami');
    expect(missing.status).toBe(401);
    expect(missing.headers.get('www-authenticate')).toBe('Bearer');
    expect(missing.body.error).toMatchObject({
      code: 'token_missing',
      safe: 'Nothing was changed.',
      next: [{ label: 'Log in', command: 'intervene login URL' }],
    });
    for (const [method, path] of [
      ['GET', '/'],
      ['GET', '/api/v1/nothing'],
      ['PATCH', '/api/v1/whoami'],
      ['GET', '/api/v1/servers/../../../etc/passwd'],
    ] as const) {
      const answer = await api.request<ErrorBody>(method, path, engineer.token);
      expect([answer.status, answer.body.error.code]).toEqual([404, 'no_such_route']);
    }
  });

  it('to a request that is not understood says what was wrong with it', async () => {
    const bad: [string, string][] = [
      ['{"label":', 'Malformed JSON'],
      ['{}', 'label'],
      ['{"label":"a","more":1}', 'Unrecognized key'],
      ['[]', 'expected object'],
    ];
    for (const [body, words] of bad) {
      const response = await api.app.request('/api/v1/tokens', {
        method: 'POST',
        headers: { authorization: `Bearer ${engineer.token}`, 'content-type': 'application/json' },
        body,
      });
      const { error } = (await response.json()) as ErrorBody;
      expect([response.status, error.code]).toEqual([400, 'invalid_request']);
      expect(error.happened).toContain(words);
    }
  });

  it('to what nobody foresaw hides the cause, which stands in the log', async () => {
    const lines: string[] = [];
    const app = createProbe(() => {
      throw new Error('secret internals');
    }, lines);
    const response = await app.request('/healthz');
    const text = await response.text();
    expect(response.status).toBe(500);
    expect(text).toContain('internal');
    expect(text).not.toContain('secret internals');
    expect(text).toContain(response.headers.get('x-request-id'));
    expect(lines.join('')).toContain('secret internals');
  });

  it('while something is away is 503 with a time to come back', async () => {
    const app = createProbe(() => {
      throw new DomainError('unavailable', 'database_unavailable', 'Away.');
    });
    const response = await app.request('/healthz');
    expect([response.status, response.headers.get('retry-after')]).toEqual([503, '1']);
  });
});

describe('requests', () => {
  it('over 256 KiB are refused, whether or not they say their length', async () => {
    const body = JSON.stringify({ label: 'x'.repeat(256 * 1024) });
    const headers = {
      authorization: `Bearer ${engineer.token}`,
      'content-type': 'application/json',
    };
    const chunked = new ReadableStream({
      start: (controller) => {
        controller.enqueue(Buffer.from(body));
        controller.close();
      },
    });
    for (const init of [{ body }, { body: chunked, duplex: 'half' as const }]) {
      const response = await api.app.request('/api/v1/tokens', {
        method: 'POST',
        headers,
        ...init,
      });
      expect(response.status).toBe(413);
      expect(((await response.json()) as ErrorBody).error.code).toBe('body_too_large');
    }
  });

  it('to a route that is not in the table are denied to everybody', async () => {
    const app = createHttpApp({
      authenticate: async () => ({ personId: 'p', name: 'n', role: 'admin', accountId: null }),
      log: pino({ level: 'silent' }),
      closing: new AbortController().signal,
    });
    app.get('/not-in-the-table', (c) => c.text('reached'));
    expect((await app.request('/not-in-the-table')).status).toBe(401);
    const headers = { authorization: 'Bearer any' };
    expect((await app.request('/not-in-the-table', { headers })).status).toBe(403);
    expect((await app.request('/not-in-the-table', { headers, method: 'HEAD' })).status).toBe(403);
  });

  it('leave a line in the log each, without tokens or bodies', async () => {
    const lines: string[] = [];
    const app = createProbe(() => new Response('body-text'), lines);
    const secret = `ivt_${'s'.repeat(43)}`;
    await app.request('/healthz?key=query-text', {
      headers: { authorization: `Bearer ${secret}` },
    });
    await app.request('/not-in-the-table', { headers: { authorization: `Bearer ${secret}` } });
    const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(logged.map(({ method, route, status }) => [method, route, status])).toEqual([
      ['GET', '/healthz', 200],
      ['GET', '/not-in-the-table', 401],
    ]);
    expect(lines.join('')).not.toMatch(/ivt_|sssss|body-text|query-text/);
  });

  it('with wrong tokens are stopped after a while; a token that worked before goes on working', async () => {
    const own = createTestApi(test.database);
    try {
      const person = await own.person('engineer');
      const latecomer = await own.person('engineer');
      expect((await person.get('/api/v1/whoami')).status).toBe(200);
      const statuses = [];
      for (let attempt = 0; attempt < 25; attempt++) {
        statuses.push((await own.request('GET', '/api/v1/whoami', `ivt_guess${attempt}`)).status);
      }
      expect(statuses).toEqual([...Array<number>(20).fill(401), ...Array<number>(5).fill(429)]);
      const stopped = await latecomer.get('/api/v1/whoami');
      expect(stopped.status).toBe(429);
      // Twenty a minute come back.
      expect(Number(stopped.headers.get('retry-after'))).toBeLessThanOrEqual(3);
      expect((await person.get('/api/v1/whoami')).status).toBe(200);
    } finally {
      own.close();
    }
  });

  it('that redeem guesses are stopped after a while', async () => {
    const own = createTestApi(test.database);
    try {
      const statuses = [];
      for (let attempt = 0; attempt < 12; attempt++) {
        const body = { invitation: `ivi_${'g'.repeat(43)}`, label: 'x' };
        const answer = await own.request('POST', '/api/v1/invitations/redeem', undefined, body);
        statuses.push(answer.status);
      }
      expect(statuses).toEqual([...Array<number>(10).fill(403), 429, 429]);
    } finally {
      own.close();
    }
  });

  it('may ask to wait, for a minute at most', async () => {
    const waits: number[] = [];
    const app = createProbe(() => new Response());
    app.get('/readyz', (c) => {
      waits.push(preferredWaitMs(c));
      return c.body(null);
    });
    const prefer = [
      'wait=5',
      'respond-async, wait=10',
      'wait="7"',
      'wait=9999',
      'await=5',
      'wait=-1',
      'wait=x',
      '',
    ];
    const applied = [];
    for (const value of prefer) {
      const response = await app.request('/readyz', { headers: { prefer: value } });
      applied.push(response.headers.get('preference-applied'));
    }
    expect(waits).toEqual([5_000, 10_000, 7_000, 60_000, 0, 0, 0, 0]);
    expect(applied.slice(0, 4)).toEqual(['wait=5', 'wait=10', 'wait=7', 'wait=60']);
    expect(applied[4]).toBeNull();
  });
});
