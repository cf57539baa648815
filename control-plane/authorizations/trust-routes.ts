import { createRoute, z } from '@hono/zod-openapi';
import type { HttpApp } from '../http/environment.ts';
import {
  base64,
  bearer,
  envelopeBody,
  errorResponses,
  jsonBody,
  jsonResponse,
  nullableTimeText,
  refParams,
} from '../http/route.ts';
import { document as documentBody, listOf } from '../http/schemas.ts';
import type { StoredDocument } from './document-store.ts';
import type { TrustService } from './trust-service.ts';

const tags = ['trust'];
const chain = { ...errorResponses, 200: jsonResponse('oldest first', listOf(documentBody)) };
const added = { ...errorResponses, 201: jsonResponse('the document', documentBody) };

const body = (row: StoredDocument): z.output<typeof documentBody> => ({
  digest: row.digest,
  kind: row.kind,
  version: row.version,
  personId: row.personId,
  expiresAt: nullableTimeText(row.expiresAt),
  envelope: base64(row.envelope),
});
const list = (rows: StoredDocument[]) => ({ items: rows.map(body), next: null });

export function registerTrustRoutes(app: HttpApp, service: TrustService): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/trust/root',
      tags,
      summary: "The operator's root documents",
      security: bearer,
      responses: chain,
    }),
    async (c) => c.json(list(await service.rootChain()), 200),
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/trust/root',
      tags,
      summary: 'Add the first root document, or the next one',
      security: bearer,
      request: jsonBody(z.strictObject({ envelope: envelopeBody })),
      responses: added,
    }),
    async (c) => {
      const { envelope } = c.req.valid('json');
      return c.json(body(await service.addRoot(c.get('caller'), envelope)), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/trust/certifications',
      tags,
      summary: 'Lead and engineer documents that have not expired',
      security: bearer,
      responses: chain,
    }),
    async (c) => c.json(list(await service.certifications()), 200),
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/trust/certifications',
      tags,
      summary: 'Add a lead or engineer document',
      security: bearer,
      request: jsonBody(z.strictObject({ envelope: envelopeBody })),
      responses: added,
    }),
    async (c) => {
      const { envelope } = c.req.valid('json');
      return c.json(body(await service.addCertification(c.get('caller'), envelope)), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/accounts/{ref}/keys',
      tags,
      summary: "An account's key documents",
      security: bearer,
      request: { params: refParams },
      responses: chain,
    }),
    async (c) => {
      const rows = await service.accountKeys(c.get('caller'), c.req.valid('param').ref);
      return c.json(list(rows), 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/accounts/{ref}/keys',
      tags,
      summary: "Add the account's first keys, or the next ones",
      security: bearer,
      request: { params: refParams, ...jsonBody(z.strictObject({ envelope: envelopeBody })) },
      responses: added,
    }),
    async (c) => {
      const { ref } = c.req.valid('param');
      const { envelope } = c.req.valid('json');
      return c.json(body(await service.addAccountKeys(c.get('caller'), ref, envelope)), 201);
    },
  );
}
