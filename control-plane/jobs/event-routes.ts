import { createRoute, z } from '@hono/zod-openapi';
import { createWaker } from '../cluster/waker.ts';
import type { HttpApp } from '../http/environment.ts';
import { bearer, errorResponses, jsonResponse, refParams, timeText } from '../http/route.ts';
import { jobEvent, listOf } from '../http/schemas.ts';
import { lastEventId, respondWithEvents } from '../http/stream.ts';
import type { ServerSentEvent } from '../http/stream.ts';
import type { JobEvent } from './job-events.ts';
import { isFinal } from './job-states.ts';
import type { Job } from './job-store.ts';
import type { JobRoutesOptions } from './routes.ts';

/** As far as sequences go: what PostgreSQL holds in an integer. */
const SEQUENCE_MAX = 2 ** 31 - 1;
const POLL_MS = 5_000;

const bodyOf = (event: JobEvent) => ({ ...event, at: timeText(event.at) });

/**
 * What happened to a job: as a list, or as a stream that goes on until the job has ended. The id of an event is
 * its sequence; events `progress` have none, because only the latest matters.
 */
export function registerJobEventRoutes(
  app: HttpApp,
  { jobs, bus }: Pick<JobRoutesOptions, 'jobs' | 'bus'>,
): void {
  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/jobs/{ref}/events',
      tags: ['jobs'],
      summary: 'What happened to a job',
      description: 'Asked for `text/event-stream` it goes on until the job has ended.',
      security: bearer,
      request: {
        params: refParams,
        query: z.object({ after: z.coerce.number().int().min(0).max(SEQUENCE_MAX).default(0) }),
      },
      responses: {
        ...errorResponses,
        200: jsonResponse('in order; `next` is `after` of the next request', listOf(jobEvent)),
      },
    }),
    async (c) => {
      const job = await jobs.resolve(c.get('caller'), c.req.valid('param').ref);
      const { after } = c.req.valid('query');
      if (c.req.header('accept')?.includes('text/event-stream')) {
        const seen = Number(lastEventId(c) ?? after);
        const from = Number.isInteger(seen) && seen >= 0 && seen <= SEQUENCE_MAX ? seen : after;
        return respondWithEvents(c, (signal) => followEvents(job, from, signal)) as never;
      }
      const { events, hasMore } = await jobs.events(job.id, after);
      const next = hasMore ? String(events.at(-1)!.sequence) : null;
      return c.json({ items: events.map(bodyOf), next }, 200);
    },
  );

  async function* followEvents(
    job: Job,
    from: number,
    signal: AbortSignal,
  ): AsyncGenerator<ServerSentEvent> {
    const waker = createWaker(bus, [{ topic: 'job', id: job.id }]);
    let after = from;
    let shownProgress: unknown = null;
    let hasEnded = await isOver(job);
    try {
      while (!signal.aborted) {
        waker.prepare();
        const { events, hasMore } = await jobs.events(job.id, after);
        for (const event of events) {
          after = event.sequence;
          const { to } = event.content as { to?: Job['state'] };
          if (event.kind === 'state' && to !== undefined) hasEnded = isFinal(to);
          yield { event: event.kind, data: JSON.stringify(bodyOf(event)), id: String(after) };
        }
        if (hasMore) continue;
        if (hasEnded) return;
        const progress = jobs.progress(job.id);
        if (progress !== null && progress !== shownProgress) {
          shownProgress = progress;
          yield { event: 'progress', data: JSON.stringify(progress) };
        }
        await waker.wait(POLL_MS, signal);
      }
    } finally {
      waker.close();
    }
  }

  /** A reader who comes back may have seen the last event. */
  async function isOver(job: Job): Promise<boolean> {
    const latest = await jobs.wait(job, { ms: 0, signal: AbortSignal.abort() });
    return isFinal(latest.state);
  }
}
