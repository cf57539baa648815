import { createRoute, z } from '@hono/zod-openapi';
import type { Bus } from '../cluster/bus.ts';
import type { HttpApp } from '../http/environment.ts';
import { cursorInvalid, pageOf, pageQuery } from '../http/page.ts';
import { preferredWaitMs } from '../http/prefer.ts';
import {
  base64,
  bearer,
  envelopeBody,
  errorResponses,
  jsonBody,
  jsonResponse,
  nullableBase64,
  reference,
  refParams,
} from '../http/route.ts';
import { job as jobSchema, jobDocuments, jobState, listOf } from '../http/schemas.ts';
import type { InterventionsService } from '../interventions/interventions-service.ts';
import type { ServersService } from '../servers/servers-service.ts';
import { registerJobEventRoutes } from './event-routes.ts';
import { jobBody } from './job-body.ts';
import type { Job } from './job-store.ts';
import type { JobsService } from './jobs-service.ts';

export interface JobRoutesOptions {
  jobs: JobsService;
  servers: Pick<ServersService, 'resolve'>;
  interventions: Pick<InterventionsService, 'resolve'>;
  bus: Bus;
}

const tags = ['jobs'];

const newJob = z.strictObject({
  order: envelopeBody,
  ticket: z.string().min(1).max(100).nullish().describe('where no authorization names one'),
  engineers: z
    .int()
    .min(1)
    .max(4)
    .nullish()
    .describe("how many must sign, where the server's policy wants more than the authorization"),
});

export function registerJobRoutes(app: HttpApp, options: JobRoutesOptions): void {
  const { jobs, servers, interventions } = options;
  const bodyOf = (job: Job) => jobBody(job, jobs.progress(job.id));

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/jobs',
      tags,
      summary: 'Order a job',
      description: 'With `Prefer: wait=SECONDS` the answer waits for the end of the job.',
      security: bearer,
      request: jsonBody(newJob),
      responses: { ...errorResponses, 201: jsonResponse('the job', jobSchema) },
    }),
    async (c) => {
      const { order, ticket, engineers } = c.req.valid('json');
      const submitted = {
        envelope: order,
        ticket: ticket ?? undefined,
        engineers: engineers ?? undefined,
      };
      const wait = { ms: preferredWaitMs(c), signal: waitSignal(c) };
      return c.json(bodyOf(await jobs.submit(c.get('caller'), submitted, wait)), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/jobs',
      tags,
      summary: 'Jobs the caller may see',
      security: bearer,
      request: {
        query: pageQuery.extend({
          server: reference.optional(),
          intervention: reference.optional(),
          state: jobState.optional(),
        }),
      },
      responses: { ...errorResponses, 200: jsonResponse('newest first', listOf(jobSchema)) },
    }),
    async (c) => {
      const { server, intervention, state, ...query } = c.req.valid('query');
      const caller = c.get('caller');
      const page = pageOf(query);
      const rows = await jobs.list(
        caller,
        {
          serverId: server === undefined ? null : (await servers.resolve(caller, server)).id,
          interventionId:
            intervention === undefined
              ? null
              : (await interventions.resolve(caller, intervention)).id,
          state: state ?? null,
        },
        { before: splitKey(page.wanted.after), limit: page.wanted.limit },
      );
      return c.json(
        page.body(rows.map(bodyOf), (row) => `${row.createdAt}/${row.id}`),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/jobs/{ref}',
      tags,
      summary: 'One job',
      description: 'With `Prefer: wait=SECONDS` the answer waits for the end of the job.',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the job', jobSchema) },
    }),
    async (c) => {
      const job = await jobs.resolve(c.get('caller'), c.req.valid('param').ref);
      const ms = preferredWaitMs(c);
      const latest = ms === 0 ? job : await jobs.wait(job, { ms, signal: waitSignal(c) });
      return c.json(bodyOf(latest), 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/jobs/{ref}/cancel',
      tags,
      summary: 'Stop a job',
      security: bearer,
      request: {
        params: refParams,
        ...jsonBody(z.strictObject({ mode: z.enum(['now', 'after_step']).default('now') })),
      },
      responses: {
        ...errorResponses,
        200: jsonResponse('the job; its agent may need a moment', jobSchema),
      },
    }),
    async (c) => {
      const { mode } = c.req.valid('json');
      return c.json(
        bodyOf(await jobs.cancel(c.get('caller'), c.req.valid('param').ref, mode)),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/jobs/{ref}/abandon',
      tags,
      summary: 'Close a job without the word of its agent',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the job', jobSchema) },
    }),
    async (c) => c.json(bodyOf(await jobs.abandon(c.get('caller'), c.req.valid('param').ref)), 200),
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/jobs/{ref}/approve',
      tags,
      summary: "Add another engineer's signature to a proposed order",
      security: bearer,
      request: {
        params: refParams,
        ...jsonBody(z.strictObject({ order: envelopeBody })),
      },
      responses: {
        ...errorResponses,
        200: jsonResponse('the job; queued when enough have signed', jobSchema),
      },
    }),
    async (c) => {
      const { order } = c.req.valid('json');
      return c.json(
        bodyOf(await jobs.approve(c.get('caller'), c.req.valid('param').ref, order)),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/jobs/{ref}/take-over',
      tags,
      summary: 'Answer for a job from now on (as a lead)',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the job', jobSchema) },
    }),
    async (c) =>
      c.json(bodyOf(await jobs.takeOver(c.get('caller'), c.req.valid('param').ref)), 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/jobs/{ref}/documents',
      tags,
      summary: 'The signed documents of a job',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('envelopes', jobDocuments) },
    }),
    async (c) => {
      const found = await jobs.documents(c.get('caller'), c.req.valid('param').ref);
      return c.json(
        {
          order: base64(found.order),
          plan: nullableBase64(found.plan),
          accepted: nullableBase64(found.accepted),
          final: nullableBase64(found.final),
          agentKey: found.agentKey,
        },
        200,
      );
    },
  );

  registerJobEventRoutes(app, options);
}

/** Waiting ends when the caller leaves or the control plane stops. */
function waitSignal(c: {
  req: { raw: Request };
  get: (key: 'closing') => AbortSignal;
}): AbortSignal {
  return AbortSignal.any([c.req.raw.signal, c.get('closing')]);
}

function splitKey(key: string | null): { createdAt: Date; id: string } | null {
  if (key === null) return null;
  const [time, id] = key.split('/');
  const createdAt = new Date(time ?? '');
  // Only times that a page has given: PostgreSQL does not know all years that a Date does.
  const isTime = createdAt.getTime() > 0 && createdAt.getUTCFullYear() < 10_000;
  if (!isTime || !z.uuid().safeParse(id).success) throw cursorInvalid();
  return { createdAt, id: id! };
}
