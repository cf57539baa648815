import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { createTestApi } from '../../test/fixtures/http-api.ts';
import type { ApiPerson, ErrorBody, TestApi } from '../../test/fixtures/http-api.ts';
import { openDatabase } from '../database/database.ts';

const test = useTestDatabase();
let api: TestApi;
let engineer: ApiPerson;

beforeAll(async () => {
  api = createTestApi(test.database);
  engineer = await api.person('engineer');
});
afterAll(() => api.close());

describe('what the control plane says of itself', () => {
  it('is alive without a database, and ready only with one that is migrated', async () => {
    expect((await api.request('GET', '/healthz')).status).toBe(200);
    expect((await api.request('GET', '/readyz')).status).toBe(200);

    const away = openDatabase({ host: '/nonexistent', port: 1, user: 'nobody', database: 'none' });
    const without = createTestApi(away);
    expect((await without.request('GET', '/healthz')).status).toBe(200);
    const ready = await without.request<ErrorBody>('GET', '/readyz');
    expect([ready.status, ready.body.error.code]).toEqual([503, 'database_unavailable']);
    const who = await without.request<ErrorBody>('GET', '/api/v1/whoami', engineer.token);
    expect([who.status, who.body.error.code]).toEqual([503, 'database_unavailable']);
    without.close();
    await away.close();
  });

  it('is measured: requests by route, jobs, agents, the database, the event loop', async () => {
    await api.request('GET', '/api/v1/servers/some-server', engineer.token);
    expect((await api.request('GET', '/metrics')).status).toBe(401);
    const { body, status } = await engineer.get<string>('/metrics');
    expect(status).toBe(200);
    expect(body).toContain(
      'intervene_http_requests_total{method="GET",route="/api/v1/servers/:ref",status="404"} 1',
    );
    expect(body).not.toContain('some-server');
    expect(body).toMatch(
      /^intervene_http_request_duration_seconds_bucket\{route="[^"]+",le="\+Inf"\} \d+$/m,
    );
    expect(body).toContain('intervene_database_up 1');
    expect(body).toMatch(/^intervene_event_loop_delay_seconds\{quantile="0.99"\} [\d.e-]+$/m);
    for (const family of ['intervene_jobs', 'intervene_agents', 'process_resident_memory_bytes']) {
      expect(body).toContain(`# TYPE ${family} gauge`);
    }
    const client = (await api.account()).client;
    expect((await client.get('/metrics')).status).toBe(403);
  });

  it('is described by an OpenAPI 3.1 document that names every route', async () => {
    const { body } = await api.request<{
      openapi: string;
      paths: Record<string, Record<string, { security?: unknown }>>;
      components: { securitySchemes: object; schemas: object };
    }>('GET', '/api/openapi.json');
    expect(body.openapi).toBe('3.1.0');
    expect(body.components.securitySchemes).toHaveProperty('bearer');
    expect(body.components.schemas).toHaveProperty('Pack');
    const described = Object.entries(body.paths).flatMap(([path, methods]) =>
      Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`),
    );
    const registered = api.app.routes
      .filter((route) => route.method !== 'ALL')
      .map((route) => `${route.method} ${route.path.replaceAll(/:(\w+)/g, '{$1}')}`)
      .filter((route) => route !== 'GET /api/openapi.json');
    expect(new Set(registered)).toEqual(
      new Set(described.filter((route) => route !== 'GET /api/openapi.json')),
    );
  });

  it('lists the actions with a schema of their parameters', async () => {
    const { body } = await engineer.get<{ items: { id: string; parameters: object }[] }>(
      '/api/v1/actions',
    );
    const run = body.items.find((action) => action.id === 'command.run');
    expect(run?.parameters).toMatchObject({
      type: 'object',
      required: ['argv'],
      additionalProperties: false,
    });
  });
});
