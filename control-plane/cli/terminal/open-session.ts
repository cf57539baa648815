import { setTimeout as sleep } from 'node:timers/promises';
import { shell } from '../../../proto/documents/command-text.ts';
import { openDocument } from '../../../proto/documents/document.ts';
import { keyFingerprint, publicKeySchema } from '../../../proto/documents/keys.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { deriveSessionKeys } from '../../../proto/terminal/session-keys.ts';
import type { SessionKeyPair, SessionKeys } from '../../../proto/terminal/session-keys.ts';
import { reference } from '../api/api-client.ts';
import type { ApiClient } from '../api/api-client.ts';
import type { JobBody, JobDocumentsBody } from '../api/bodies.ts';
import { CliError } from '../cli-error.ts';
import { isFinal } from '../output/job-states.ts';

const LOOK_MS = 100;

export interface OpenedSession {
  job: JobBody;
  keys: SessionKeys;
}

/**
 * Waits until the agent has accepted the order and its runner runs, and makes the session's keys from the
 * receipt that the agent signed. Null when the job ended before; throws CliError for a receipt that is not
 * the agent's.
 */
export async function openSession(
  api: ApiClient,
  ordered: { job: JobBody; order: Order; digest: string },
  own: SessionKeyPair,
  signal: AbortSignal,
): Promise<OpenedSession | { job: JobBody; keys: null }> {
  const path = `/api/v1/jobs/${reference(ordered.job.id)}`;
  for (;;) {
    const job = await api.get<JobBody>(path);
    if (isFinal(job.state)) return { job, keys: null };
    if (job.state === 'running') {
      const documents = await api.get<JobDocumentsBody>(`${path}/documents`);
      if (documents.accepted !== null) {
        return { job, keys: readKeys(documents, documents.accepted, ordered, own) };
      }
    }
    await sleep(LOOK_MS, undefined, { signal });
  }
}

function readKeys(
  documents: JobDocumentsBody,
  accepted: string,
  { order, digest }: { order: Order; digest: string },
  own: SessionKeyPair,
): SessionKeys {
  try {
    const agentKey = publicKeySchema.parse(documents.agentKey);
    if (keyFingerprint(agentKey) !== order.agentKey) {
      throw new Error('the receipt is shown with another key than the agent’s');
    }
    const { payload } = openDocument('receipt', Buffer.from(accepted, 'base64'), [agentKey]);
    if (payload.job !== order.job || payload.order !== digest) {
      throw new Error('the receipt is for another order');
    }
    if (payload.statement !== 'accepted' || payload.sessionKey === undefined) {
      throw new Error('the receipt names no key for this session');
    }
    const subject = { job: order.job, order: digest, engineer: own.public };
    return deriveSessionKeys(own.privateKey, payload.sessionKey, {
      ...subject,
      agent: payload.sessionKey,
    });
  } catch (cause) {
    throw new CliError({
      code: 'receipt_not_of_agent',
      happened: `The agent's answer cannot be trusted: ${(cause as Error).message}.`,
      safe: 'Nothing was typed. The terminal ends by itself.',
      next: [{ label: 'end it now', command: shell`intervene jobs cancel ${order.job}` }],
      cause,
    });
  }
}
