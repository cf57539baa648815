import { wireLimits } from '../../proto/wire.ts';
import type { Job } from '../jobs/job.ts';
import type { EndStatement, LogPiece, Outgoing, Unsaid } from './courier.ts';
import type { LogReader } from './log-reader.ts';

export type EndMessage = Extract<Outgoing, { type: 'ended' }>;

/** Room that headers and framing take in a message. */
const MESSAGE_ROOM_BYTES = 8 * 1024;
/** What of a short job may go along with its end; a longer journal is sent before. */
const UNSAID_MAX_BYTES = 32 * 1024;

/** What goes along with the end of a job; null when it is too much for that. */
export function unsaidOf(
  job: Job,
  receipt: Uint8Array | null,
  firstSequence: number,
): Unsaid | null {
  const records = job.records(firstSequence);
  const bytes = (receipt?.length ?? 0) + JSON.stringify(records).length;
  return bytes > UNSAID_MAX_BYTES ? null : { receipt, firstSequence, records };
}

/**
 * The end of a job with everything that is not on the other side yet. Null when the rest of the log is too
 * long for one message.
 *
 * @param reader moved to `committed` and on
 */
export async function composeEnd(
  job: Job,
  end: EndStatement,
  unsaid: Unsaid,
  reader: LogReader,
  committed: number,
): Promise<EndMessage | null> {
  const sealed = end.sealedOutputs.reduce((bytes, output) => bytes + output.sealed.length, 0);
  const stated = end.receipt.length + end.result.length + (end.plan?.length ?? 0) + sealed;
  let room = wireLimits.messageBytes - MESSAGE_ROOM_BYTES - UNSAID_MAX_BYTES - stated;
  const tail: LogPiece[] = [];
  if (await reader.seek(committed)) {
    for (let piece = await reader.next(); piece !== null; piece = await reader.next()) {
      room -= piece.bytes.length;
      if (room < 0) return null;
      tail.push(piece);
    }
  }
  const { logLength, isReleased } = job;
  const logReleased = isReleased === true;
  return { type: 'ended', job: job.id, end, tail, logLength, logReleased, unsaid };
}
