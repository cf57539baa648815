import { createRoute, z } from '@hono/zod-openapi';
import type { HttpApp } from '../http/environment.ts';
import { cursorInvalid, pageOf, pageQuery } from '../http/page.ts';
import { bearer, errorResponses, jsonResponse, timeText } from '../http/route.ts';
import { auditEntry, listOf } from '../http/schemas.ts';
import type { AuditService } from './audit-service.ts';
import type { AuditPosition, AuditRow } from './audit-store.ts';

const body = (row: AuditRow) => ({ ...row, at: timeText(row.at) });

export function registerAuditRoutes(app: HttpApp, service: AuditService): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/audit',
      tags: ['audit'],
      summary: 'A hash chain, oldest first; or what is newest in all of them',
      security: bearer,
      request: {
        query: pageQuery.extend({
          chain: z
            .string()
            .max(300)
            .optional()
            .describe('intervention:REF, account:REF or operator'),
        }),
      },
      responses: { ...errorResponses, 200: jsonResponse('entries', listOf(auditEntry)) },
    }),
    async (c) => {
      const query = c.req.valid('query');
      const page = pageOf(query);
      const { after, limit } = page.wanted;
      const caller = c.get('caller');
      if (query.chain === undefined) {
        const rows = await service.newest(caller, readPosition(after), limit);
        return c.json(
          page.body(rows.map(body), (row) => `${row.at}/${row.chain}/${row.sequence}`),
          200,
        );
      }
      const rows = await service.chain(caller, query.chain, readSequence(after), limit);
      return c.json(
        page.body(rows.map(body), (row) => row.sequence),
        200,
      );
    },
  );
}

function readSequence(after: string | null): number {
  if (after === null) return 0;
  if (!/^\d{1,15}$/.test(after)) throw cursorInvalid();
  return Number(after);
}

function readPosition(after: string | null): AuditPosition | null {
  if (after === null) return null;
  const [at = '', chain = '', sequence = ''] = after.split('/');
  const time = new Date(at);
  if (Number.isNaN(time.getTime()) || chain === '' || !/^\d{1,15}$/.test(sequence)) {
    throw cursorInvalid();
  }
  return { at: time, chain, sequence: Number(sequence) };
}
