import { setTimeout as sleep } from 'node:timers/promises';
import { shell } from '../../../proto/documents/command-text.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { JobBody } from '../api/bodies.ts';
import { ResponseError } from '../api/response-error.ts';
import { CliError, UnreachableError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';

const TRIES = 6;
const PAUSE_MS = 500;

/**
 * Hands a signed order to the control plane. The order carries the job's id, so that it can be sent again
 * after a cut connection without ever becoming two jobs.
 */
export async function submitJob(
  api: ApiClient,
  job: string,
  envelope: Uint8Array,
  { ticket, engineers }: { ticket: string | undefined; engineers: number | undefined },
): Promise<JobBody> {
  const body = {
    order: Buffer.from(envelope).toString('base64'),
    ...(ticket !== undefined && { ticket }),
    ...(engineers !== undefined && { engineers }),
  };
  for (let attempt = 1; ; attempt++) {
    try {
      return await api.post<JobBody>('/api/v1/jobs', body);
    } catch (error) {
      if (!isPassing(error)) throw error;
      const known = await findJob(api, job);
      if (known !== null) return known;
      if (attempt === TRIES) throw notDelivered(job, error);
      await sleep(PAUSE_MS * attempt);
    }
  }
}

async function findJob(api: ApiClient, job: string): Promise<JobBody | null> {
  try {
    return await api.get<JobBody>(`/api/v1/jobs/${reference(job)}`);
  } catch (error) {
    if (isPassing(error) || (error instanceof ResponseError && error.status === 404)) return null;
    throw error;
  }
}

function isPassing(error: unknown): boolean {
  if (error instanceof UnreachableError) return true;
  return error instanceof ResponseError && error.isPassing;
}

function notDelivered(job: string, cause: unknown): CliError {
  return new CliError({
    code: 'order_not_delivered',
    happened: `The control plane did not confirm the order of job ${job}: ${(cause as Error).message}`,
    safe: 'It may have it all the same; the order starts at most once, and not at all after 15 minutes.',
    next: [{ label: 'see whether it is there', command: shell`intervene jobs show ${job}` }],
    exitStatus: exitStatus.unreachable,
    cause,
  });
}
