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
  nullableBase64,
  nullableTimeText,
  reference,
  refParams,
  timeText,
} from '../http/route.ts';
import { credential as credentialBody, listOf, sealedCredential } from '../http/schemas.ts';
import type { JobsService } from '../jobs/jobs-service.ts';
import type { ServersService } from '../servers/servers-service.ts';
import type { Credential } from './credential-store.ts';
import type { CredentialsService } from './credentials-service.ts';

export interface CredentialRoutesOptions {
  credentials: CredentialsService;
  servers: Pick<ServersService, 'resolve'>;
  jobs: Pick<JobsService, 'resolve'>;
}

const tags = ['credentials'];
const one = { ...errorResponses, 200: jsonResponse('the credential', credentialBody) };

const newCredential = z.strictObject({
  envelope: envelopeBody,
  sealed: z
    .base64()
    .max(32_768)
    .describe('the age file, base64')
    .transform((text) => Buffer.from(text, 'base64')),
});

const body = (row: Credential): z.output<typeof credentialBody> => ({
  id: row.id,
  number: row.number,
  kind: row.kind,
  accountId: row.accountId,
  serverId: row.serverId,
  serverName: row.serverName,
  name: row.name,
  action: row.action,
  state: row.state,
  grantId: row.grantId,
  grantNumber: row.grantNumber,
  jobId: row.jobId,
  jobName: row.jobName,
  orders: row.orders,
  digest: row.digest,
  envelope: nullableBase64(row.envelope),
  createdBy: row.createdBy,
  createdAt: timeText(row.createdAt),
  withdrawnAt: nullableTimeText(row.withdrawnAt),
  openedBy: row.openedBy,
  openedAt: nullableTimeText(row.openedAt),
});

export function registerCredentialRoutes(app: HttpApp, options: CredentialRoutesOptions): void {
  const { credentials, servers, jobs } = options;

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/credentials',
      tags,
      summary: 'Secrets that were given or made: which, never what',
      security: bearer,
      request: {
        query: pageQuery.extend({ server: reference.optional(), job: reference.optional() }),
      },
      responses: { ...errorResponses, 200: jsonResponse('newest first', listOf(credentialBody)) },
    }),
    async (c) => {
      const { server, job, ...query } = c.req.valid('query');
      const caller = c.get('caller');
      const page = pageOf(query);
      const { after, limit } = page.wanted;
      if (after !== null && !/^\d{1,15}$/.test(after)) throw cursorInvalid();
      const filter = {
        serverId: server === undefined ? null : (await servers.resolve(caller, server)).id,
        jobId: job === undefined ? null : (await jobs.resolve(caller, job)).id,
      };
      const before = after === null ? null : Number(after);
      const rows = await credentials.list(caller, filter, { before, limit });
      return c.json(
        page.body(rows.map(body), (row) => row.number),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/credentials',
      tags,
      summary:
        'Give a secret, sealed to an agent and signed for one action under one permission (client)',
      security: bearer,
      request: jsonBody(newCredential),
      responses: { ...errorResponses, 201: jsonResponse('the credential', credentialBody) },
    }),
    async (c) => {
      const { envelope, sealed } = c.req.valid('json');
      return c.json(body(await credentials.give(c.get('caller'), envelope, sealed)), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/credentials/{ref}',
      tags,
      summary: 'One credential: which it is, never what',
      security: bearer,
      request: { params: refParams },
      responses: one,
    }),
    async (c) =>
      c.json(body(await credentials.resolve(c.get('caller'), c.req.valid('param').ref)), 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/credentials/{ref}/sealed',
      tags,
      summary: 'What a job made, sealed to the client; reading it does not use it up (client)',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the age file', sealedCredential) },
    }),
    async (c) => {
      const { ref } = c.req.valid('param');
      const { credential, sealed } = await credentials.sealed(c.get('caller'), ref);
      c.header('Cache-Control', 'no-store');
      return c.json({ credential: body(credential), sealed: base64(sealed) }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/credentials/{ref}/opened',
      tags,
      summary: 'The client has what a job made: it is kept no longer (client)',
      security: bearer,
      request: { params: refParams },
      responses: one,
    }),
    async (c) =>
      c.json(body(await credentials.opened(c.get('caller'), c.req.valid('param').ref)), 200),
  );
}
