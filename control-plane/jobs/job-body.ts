import { findAction } from '../../proto/actions/catalogue.ts';
import { orderClass } from '../../proto/documents/coverage.ts';
import type { Progress } from './job-progress.ts';
import { isFinal } from './job-states.ts';
import type { Job } from './job-store.ts';

/** A job as the REST interface shows it. */
export function jobBody(job: Job, progress: Progress | null) {
  const action = findAction(job.action);
  return {
    id: job.id,
    name: `${job.interventionNumber}/${job.number}`,
    interventionId: job.interventionId,
    serverId: job.serverId,
    serverName: job.serverName,
    action: job.action,
    mode: job.mode,
    // An action that this version no longer knows counts as the highest class.
    class: action === undefined ? ('C' as const) : orderClass(action, job.mode),
    parameters: job.parameters,
    state: job.state,
    reason: job.reason,
    detail: job.detail,
    orderedBy: job.orderedBy,
    owner: job.owner,
    signedBy: job.signedBy,
    engineersNeeded: job.engineersNeeded,
    createdAt: job.createdAt.toISOString(),
    startBefore: job.startBefore.toISOString(),
    deliveredAt: job.deliveredAt?.toISOString() ?? null,
    startedAt: job.startedAt?.toISOString() ?? null,
    endedAt: job.endedAt?.toISOString() ?? null,
    exitStatus: job.exitStatus,
    result: job.result,
    planDigest: job.planDigest,
    undoesJobId: job.undoesJobId,
    undoneByJobId: job.undoneByJobId,
    progress: isFinal(job.state) ? null : progress,
    log: {
      committedBytes: job.logOffset,
      lines: job.logLines,
      bytes: job.logLength,
      digest: job.logDigest,
      verified: job.logVerified,
    },
    grantId: job.grantId,
    orderDigest: job.orderDigest,
  };
}
