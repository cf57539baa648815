import { createRoute, z } from '@hono/zod-openapi';
import { DomainError } from '../domain-error.ts';
import type { HttpApp } from './environment.ts';
import { METRICS_CONTENT_TYPE } from './metrics.ts';
import type { Metrics } from './metrics.ts';
import { errorResponses, jsonResponse } from './route.ts';

const tags = ['health'];
const ok = z.object({ status: z.literal('ok') }).openapi('Health');

export interface HealthDependencies {
  metrics: Metrics;
  /** Whether the database answers and has the schema of this program. */
  isReady: () => Promise<boolean>;
}

export function registerHealthRoutes(app: HttpApp, { metrics, isReady }: HealthDependencies): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/healthz',
      tags,
      summary: 'Whether the process lives',
      responses: { 200: jsonResponse('it does', ok) },
    }),
    (c) => c.json({ status: 'ok' as const }, 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/readyz',
      tags,
      summary: 'Whether requests can be answered: the database is there and migrated',
      responses: { ...errorResponses, 200: jsonResponse('they can', ok) },
    }),
    async (c) => {
      if (c.get('closing').aborted) {
        throw new DomainError('unavailable', 'stopping', 'The control plane is stopping.');
      }
      if (!(await isReady())) {
        throw new DomainError(
          'unavailable',
          'schema_mismatch',
          'The database does not have the schema of this program.',
        );
      }
      return c.json({ status: 'ok' as const }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/metrics',
      tags,
      summary: 'Prometheus metrics; without a token only from this machine',
      responses: {
        ...errorResponses,
        200: { description: 'metrics', content: { 'text/plain': { schema: z.string() } } },
      },
    }),
    async (c) => c.text(await metrics.render(), 200, { 'Content-Type': METRICS_CONTENT_TYPE }),
  );
}
