import { createRoute, z } from '@hono/zod-openapi';
import type { HttpApp } from '../http/environment.ts';
import { cursorInvalid, pageOf, pageQuery } from '../http/page.ts';
import {
  base64,
  bearer,
  errorResponses,
  jsonBody,
  jsonResponse,
  nullableBase64,
  nullableTimeText,
  reference,
  refParams,
  timeText,
} from '../http/route.ts';
import { intervention, listOf, pack as packBody } from '../http/schemas.ts';
import type { JobState } from '../http/schemas.ts';
import type { Intervention } from './intervention-store.ts';
import type { InterventionsService } from './interventions-service.ts';
import type { Pack } from './pack.ts';

const tags = ['interventions'];

const body = (row: Intervention) => ({
  ...row,
  openedAt: timeText(row.openedAt),
  closedAt: nullableTimeText(row.closedAt),
});

const newIntervention = z.strictObject({
  server: reference,
  ticket: z.string().min(1).max(100),
  description: z.string().max(8192).default(''),
});

export function registerInterventionRoutes(app: HttpApp, service: InterventionsService): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/interventions',
      tags,
      summary: 'Interventions the caller may see',
      security: bearer,
      request: {
        query: pageQuery.extend({
          server: reference.optional(),
          state: z.enum(['open', 'closed']).optional(),
        }),
      },
      responses: { ...errorResponses, 200: jsonResponse('newest first', listOf(intervention)) },
    }),
    async (c) => {
      const { server, state, ...query } = c.req.valid('query');
      const page = pageOf(query);
      const { after, limit } = page.wanted;
      if (after !== null && !/^\d{1,15}$/.test(after)) throw cursorInvalid();
      const before = after === null ? null : Number(after);
      const rows = await service.list(c.get('caller'), { server, state }, { before, limit });
      return c.json(
        page.body(rows.map(body), (row) => row.number),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/interventions',
      tags,
      summary: 'Open an intervention on a server for a ticket',
      security: bearer,
      request: jsonBody(newIntervention),
      responses: { ...errorResponses, 201: jsonResponse('the intervention', intervention) },
    }),
    async (c) => c.json(body(await service.open(c.get('caller'), c.req.valid('json'))), 201),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/interventions/{ref}',
      tags,
      summary: 'One intervention',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the intervention', intervention) },
    }),
    async (c) =>
      c.json(body(await service.resolve(c.get('caller'), c.req.valid('param').ref)), 200),
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/interventions/{ref}/close',
      tags,
      summary: 'Close an intervention whose jobs have ended',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the intervention', intervention) },
    }),
    async (c) => c.json(body(await service.close(c.get('caller'), c.req.valid('param').ref)), 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/interventions/{ref}/pack',
      tags,
      summary: 'Everything needed to check an intervention offline',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the pack', packBody) },
    }),
    async (c) => {
      const found = await service.pack(c.get('caller'), c.req.valid('param').ref);
      return c.json(packText(found), 200);
    },
  );
}

function packText(pack: Pack): z.output<typeof packBody> {
  return {
    version: 1,
    intervention: body(pack.intervention),
    rootChain: pack.rootChain.map(base64),
    accountKeys: pack.accountKeys.map(base64),
    certifications: pack.certifications.map(base64),
    grants: pack.grants.map(base64),
    revocations: pack.revocations.map(base64),
    jobs: pack.jobs.map((job) => ({
      id: job.id,
      name: `${pack.intervention.number}/${job.number}`,
      state: job.state as JobState,
      agentKey: job.agentKey,
      documents: {
        order: base64(job.order),
        plan: nullableBase64(job.plan),
        accepted: nullableBase64(job.accepted),
        final: nullableBase64(job.final),
      },
      logDigest: job.logDigest,
    })),
    secrets: pack.secrets.map((secret) => ({
      kind: secret.kind,
      number: secret.number,
      name: secret.name,
      digest: secret.digest,
      envelope: nullableBase64(secret.envelope),
      jobId: secret.jobId,
      openedAt: nullableTimeText(secret.openedAt),
    })),
    chain: pack.chain,
  };
}
