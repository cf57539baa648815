import { createRoute, z } from '@hono/zod-openapi';
import type { HttpApp } from '../http/environment.ts';
import { cursorInvalid, pageOf, pageQuery } from '../http/page.ts';
import {
  base64,
  bearer,
  envelopeBody,
  errorResponses,
  jsonBody,
  jsonResponse,
  nullableTimeText,
  reference,
  refParams,
  timeText,
} from '../http/route.ts';
import { grant as grantBody, listOf } from '../http/schemas.ts';
import type { StoredGrant } from './grant-store.ts';
import type { GrantsService } from './grants-service.ts';
import type { RevocationsService } from './revocations-service.ts';

const tags = ['authorizations'];

const body = (row: StoredGrant): z.output<typeof grantBody> => ({
  id: row.id,
  number: row.number,
  kind: row.kind,
  accountId: row.accountId,
  ticket: row.ticket,
  digest: row.digest,
  servers: row.servers,
  actions: row.content.actions.map((action) => action.pattern),
  highestClass: row.content.highestClass,
  notBefore: timeText(row.notBefore),
  expiresAt: timeText(row.expiresAt),
  state: row.state,
  revokedAt: nullableTimeText(row.revokedAt),
  signedBy: row.signedBy,
  createdAt: timeText(row.createdAt),
  envelope: base64(row.envelope),
});

const revocation = z.union([
  z.strictObject({ envelope: envelopeBody }),
  z.strictObject({
    grant: reference,
    afterStep: z.boolean().default(false).describe('let the running step end first'),
    reason: z.string().max(1000).default(''),
  }),
  z.strictObject({ credential: reference.describe('a secret that was given') }),
]);

export function registerGrantRoutes(
  app: HttpApp,
  grants: GrantsService,
  revocations: RevocationsService,
): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/grants',
      tags,
      summary: 'Grants and attestations the caller may see',
      security: bearer,
      request: {
        query: pageQuery.extend({
          server: reference.optional(),
          state: z.enum(['valid', 'not_yet_valid', 'expired', 'revoked']).optional(),
        }),
      },
      responses: { ...errorResponses, 200: jsonResponse('newest first', listOf(grantBody)) },
    }),
    async (c) => {
      const { server, state, ...query } = c.req.valid('query');
      const page = pageOf(query);
      const { after, limit } = page.wanted;
      if (after !== null && !/^\d{1,15}$/.test(after)) throw cursorInvalid();
      const before = after === null ? null : Number(after);
      const rows = await grants.list(c.get('caller'), { server, state }, { before, limit });
      return c.json(
        page.body(rows.map(body), (row) => row.number),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/grants',
      tags,
      summary: 'Hand in a signed grant (client) or attestation (engineer)',
      security: bearer,
      request: jsonBody(z.strictObject({ envelope: envelopeBody })),
      responses: { ...errorResponses, 201: jsonResponse('the grant', grantBody) },
    }),
    async (c) => {
      const { envelope } = c.req.valid('json');
      return c.json(body(await grants.add(c.get('caller'), envelope)), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/grants/{ref}',
      tags,
      summary: 'One grant',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the grant', grantBody) },
    }),
    async (c) => {
      const found = await grants.resolve(c.get('caller'), c.req.valid('param').ref);
      return c.json(body(found), 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/revocations',
      tags,
      summary: 'Take grants, keys or secrets that were given back',
      security: bearer,
      request: jsonBody(revocation),
      responses: {
        ...errorResponses,
        201: jsonResponse(
          'ids of grants and credentials, and fingerprints of keys, that no longer hold',
          z.object({ revoked: z.array(z.string()) }),
        ),
      },
    }),
    async (c) => {
      const asked = c.req.valid('json');
      const caller = c.get('caller');
      if ('envelope' in asked) {
        return c.json({ revoked: await revocations.addSigned(caller, asked.envelope) }, 201);
      }
      const revoked =
        'credential' in asked
          ? await revocations.withdrawCredential(caller, asked.credential)
          : await revocations.revokeGrant(caller, asked.grant, asked);
      return c.json({ revoked }, 201);
    },
  );
}
