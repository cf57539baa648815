import { createRoute, z } from '@hono/zod-openapi';
import { nameSchema } from '../accounts/name.ts';
import type { HttpApp } from '../http/environment.ts';
import { cursorInvalid, pageOf, pageQuery } from '../http/page.ts';
import {
  bearer,
  errorResponses,
  jsonBody,
  jsonResponse,
  reference,
  refParams,
  timeText,
} from '../http/route.ts';
import { listOf, server as serverBody } from '../http/schemas.ts';
import type { agent } from '../http/schemas.ts';
import type { Server } from './server-store.ts';
import type { ServersService } from './servers-service.ts';

/** The current agent of each of these servers, where there is one. */
export type AgentsOfServers = (
  serverIds: readonly string[],
) => Promise<ReadonlyMap<string, z.output<typeof agent>>>;

const tags = ['servers'];

const newServer = z.strictObject({
  name: nameSchema,
  account: reference.nullish().describe('the own account when left out'),
  serviceId: z.string().min(1).max(100).nullish(),
  addresses: z.array(z.string().min(1).max(255)).max(64).default([]),
});

export function registerServerRoutes(
  app: HttpApp,
  service: ServersService,
  agentsOf: AgentsOfServers,
): void {
  async function bodies(rows: readonly Server[]): Promise<z.output<typeof serverBody>[]> {
    const agents = await agentsOf(rows.map((row) => row.id));
    return rows.map(({ identity, identifiedBy, identifiedAt, ...row }) => ({
      ...row,
      createdAt: timeText(row.createdAt),
      identity: identity && {
        ...identity,
        confirmedBy: identifiedBy,
        confirmedAt: timeText(identifiedAt!),
      },
      agent: agents.get(row.id) ?? null,
    }));
  }
  const bodyOf = async (row: Server) => (await bodies([row]))[0]!;

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/servers',
      tags,
      summary: 'Servers the caller may see',
      security: bearer,
      request: { query: pageQuery },
      responses: { ...errorResponses, 200: jsonResponse('by name', listOf(serverBody)) },
    }),
    async (c) => {
      const page = pageOf(c.req.valid('query'));
      const rows = await service.list(c.get('caller'), {
        ...page.wanted,
        after: splitKey(page.wanted.after),
      });
      return c.json(
        page.body(await bodies(rows), (row) => `${row.name}/${row.id}`),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/servers',
      tags,
      summary: 'Add a server',
      security: bearer,
      request: jsonBody(newServer),
      responses: { ...errorResponses, 201: jsonResponse('the server', serverBody) },
    }),
    async (c) => {
      const body = c.req.valid('json');
      const created = await service.create(c.get('caller'), {
        name: body.name,
        account: body.account ?? undefined,
        serviceId: body.serviceId ?? null,
        addresses: body.addresses,
      });
      return c.json(await bodyOf(created), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/servers/{ref}',
      tags,
      summary: 'One server and its agent',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 200: jsonResponse('the server', serverBody) },
    }),
    async (c) => {
      const found = await service.resolve(c.get('caller'), c.req.valid('param').ref);
      return c.json(await bodyOf(found), 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/servers/{ref}/identity',
      tags,
      summary: 'Confirm which machine booted as this server, in rescue',
      security: bearer,
      request: { params: refParams, ...jsonBody(newIdentity) },
      responses: { ...errorResponses, 200: jsonResponse('the server', serverBody) },
    }),
    async (c) => {
      const { ref } = c.req.valid('param');
      const identified = await service.identify(c.get('caller'), ref, c.req.valid('json'));
      return c.json(await bodyOf(identified), 200);
    },
  );
}

const mac = z.string().regex(/^[0-9A-Fa-f]{2}(?::[0-9A-Fa-f]{2}){5}$/, 'not a MAC address');
const newIdentity = z.strictObject({
  serial: z.string().min(1).max(200).nullable(),
  macAddresses: z.array(mac).max(64),
  hostname: z.string().min(1).max(255),
});

/** Names hold no slash. */
function splitKey(key: string | null): { name: string; id: string } | null {
  if (key === null) return null;
  const [name, id] = key.split('/');
  if (name === undefined || !z.uuid().safeParse(id).success) throw cursorInvalid();
  return { name, id: id! };
}
