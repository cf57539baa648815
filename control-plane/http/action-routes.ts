import { createRoute, z } from '@hono/zod-openapi';
import { actions } from '../../proto/actions/catalogue.ts';
import type { ActionDeclaration } from '../../proto/actions/declaration.ts';
import type { HttpApp } from './environment.ts';
import { bearer, errorResponses, jsonResponse } from './route.ts';
import { actionBody, listOf } from './schemas.ts';

const body = (action: ActionDeclaration): z.output<typeof actionBody> => ({
  id: action.id,
  version: action.version,
  title: action.title,
  sentence: action.sentence,
  class: action.class,
  plans: action.plans,
  undo: action.undo,
  usualDuration: action.usualDuration,
  capabilities: [...action.capabilities],
  parameters: z.toJSONSchema(action.parameters, { io: 'input' }),
});

export function registerActionRoutes(app: HttpApp): void {
  const items = actions.map(body);
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/actions',
      tags: ['actions'],
      summary: 'The catalogue: what can be done, and with which parameters',
      security: bearer,
      responses: { ...errorResponses, 200: jsonResponse('every action', listOf(actionBody)) },
    }),
    (c) => c.json({ items, next: null }, 200),
  );
}
