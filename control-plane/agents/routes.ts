import { createReadStream } from 'node:fs';
import { createRoute, z } from '@hono/zod-openapi';
import { Readable } from 'node:stream';
import { scopeOf } from '../accounts/caller.ts';
import type { Queries } from '../database/database.ts';
import { DomainError } from '../domain-error.ts';
import type { HttpApp } from '../http/environment.ts';
import { cursorInvalid, pageOf, pageQuery } from '../http/page.ts';
import {
  bearer,
  errorResponses,
  jsonBody,
  jsonResponse,
  nullableTimeText,
  refParams,
  timeText,
} from '../http/route.ts';
import { agent as agentSchema, enrollment, listOf } from '../http/schemas.ts';
import { createRateLimit, takeTurn } from '../rate-limit.ts';
import { agentsOfServers, listAgents } from './agent-list.ts';
import type { Agent } from './agent-list.ts';
import type { CreateEnrollment } from './enrollments.ts';
import type { InstallerFiles } from './installer-files.ts';

export interface AgentRoutesOptions {
  queries: Queries;
  createEnrollment: CreateEnrollment;
  installer: InstallerFiles;
}

const tags = ['agents'];

function bodyOf(agent: Agent): z.output<typeof agentSchema> {
  return { ...agent, lastSeenAt: nullableTimeText(agent.lastSeenAt), facts: { ...agent.facts } };
}

/** The agent of each server, as a server's body holds it. */
export function createAgentsOf(queries: Queries) {
  return async (
    serverIds: readonly string[],
  ): Promise<ReadonlyMap<string, z.output<typeof agentSchema>>> => {
    const agents = await agentsOfServers(queries, serverIds);
    return new Map([...agents].map(([serverId, agent]) => [serverId, bodyOf(agent)]));
  };
}

/** Enrolments that people of one account prepare; those of the provider count each for themselves. */
const NEW_ENROLLMENTS = { burst: 100, perMinute: 60 };

export function registerAgentRoutes(app: HttpApp, options: AgentRoutesOptions): void {
  const { queries, createEnrollment, installer } = options;

  const newEnrollments = createRateLimit(NEW_ENROLLMENTS);

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/agents',
      tags,
      summary: 'Agents of the servers the caller may see',
      security: bearer,
      request: { query: pageQuery },
      responses: { ...errorResponses, 200: jsonResponse('by server name', listOf(agentSchema)) },
    }),
    async (c) => {
      const page = pageOf(c.req.valid('query'));
      const after = splitKey(page.wanted.after);
      const rows = await listAgents(queries, scopeOf(c.get('caller')), after, page.wanted.limit);
      return c.json(
        page.body(rows.map(bodyOf), (row) => `${row.serverName}/${row.id}`),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/servers/{ref}/enrollments',
      tags,
      summary: 'Prepare that a server gets an agent',
      description: 'The token is shown once, holds for 15 minutes and for one use.',
      security: bearer,
      request: {
        params: refParams,
        ...jsonBody(z.strictObject({ mode: z.enum(['rescue', 'resident']) })),
      },
      responses: {
        ...errorResponses,
        201: jsonResponse('what the install line needs', enrollment),
      },
    }),
    async (c) => {
      const { mode } = c.req.valid('json');
      const caller = c.get('caller');
      takeTurn(newEnrollments, caller.accountId ?? caller.personId, 'enrolments');
      const made = await createEnrollment(caller, c.req.valid('param').ref, mode);
      return c.json({ ...made, expiresAt: timeText(made.expiresAt) }, 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/install/{file}',
      tags,
      summary: 'The installer and the bundles it fetches; their digests are in the install line',
      request: { params: z.object({ file: z.string().max(100) }) },
      responses: {
        200: {
          description: 'the file; `Intervene-Digest` is its SHA-256',
          content: {
            'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) },
          },
        },
        404: errorResponses[404],
      },
    }),
    async (c) => {
      const name = c.req.valid('param').file;
      const file = await installer.open(name);
      if (file === null) {
        throw new DomainError('not_found', 'no_such_file', 'There is no such file.');
      }
      const content = createReadStream('', { fd: file.handle });
      content.on('error', () => {});
      return c.body(Readable.toWeb(content) as ReadableStream<Uint8Array>, 200, {
        'Content-Type': name.endsWith('.sh') ? 'text/x-shellscript' : 'application/octet-stream',
        'Content-Length': String(file.bytes),
        'Intervene-Digest': file.digest,
        'Cache-Control': 'no-cache',
      });
    },
  );
}

/** Names hold no slash. */
function splitKey(key: string | null): { name: string; id: string } | null {
  if (key === null) return null;
  const [name, id] = key.split('/');
  if (name === undefined || !z.uuid().safeParse(id).success) throw cursorInvalid();
  return { name, id: id! };
}
