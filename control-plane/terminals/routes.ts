import { createRoute } from '@hono/zod-openapi';
import { FRAME_MAX_BYTES } from '../../proto/terminal/frame.ts';
import { DomainError } from '../domain-error.ts';
import type { HttpApp } from '../http/environment.ts';
import { bearer, errorResponses, refParams } from '../http/route.ts';
import { socketPipe } from '../http/socket-pipe.ts';
import type { TerminalsService } from './terminals-service.ts';

export function registerTerminalRoutes(app: HttpApp, terminals: TerminalsService): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/jobs/{ref}/terminal',
      tags: ['jobs'],
      summary: 'Attach to a terminal',
      description:
        'A WebSocket for the engineer who ordered the terminal. Each binary message is one frame, ' +
        `${FRAME_MAX_BYTES} bytes at most, sealed between their program and the agent. The token ` +
        'comes in the Authorization header.',
      security: bearer,
      request: { params: refParams },
      responses: {
        ...errorResponses,
        204: { description: 'never as such: 101, and frames both ways' },
      },
    }),
    async (c) => {
      const accept = c.env?.acceptWebSocket;
      if (accept === undefined) {
        throw new DomainError(
          'invalid',
          'websocket_required',
          'This address takes WebSockets only.',
        );
      }
      const join = await terminals.attach(c.get('caller'), c.req.valid('param').ref);
      accept((socket) => join(socketPipe(socket)));
      return c.body(null, 204);
    },
  );
}
