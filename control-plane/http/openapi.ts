import { createRoute, z } from '@hono/zod-openapi';
import type { HttpApp } from './environment.ts';

/** Adds the description of all routes; call it when every other route is registered. */
export function registerOpenApi(app: HttpApp, version: string): void {
  app.openAPIRegistry.registerComponent('securitySchemes', 'bearer', {
    type: 'http',
    scheme: 'bearer',
  });
  let document: object | undefined;
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/openapi.json',
      tags: ['about'],
      summary: 'This description',
      responses: {
        200: {
          description: 'an OpenAPI 3.1 document',
          content: { 'application/json': { schema: z.record(z.string(), z.unknown()) } },
        },
      },
    }),
    (c) => {
      document ??= app.getOpenAPI31Document({
        openapi: '3.1.0',
        info: { title: 'Intervene', version },
        servers: [{ url: '/' }],
      });
      return c.json(document as Record<string, unknown>, 200);
    },
  );
}
