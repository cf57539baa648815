import zlib from 'node:zlib';
import type {
  ConnectRequest,
  ConnectResponse__Output,
  Facts as WireFacts,
  JobDelivery__Output,
  JobEvents,
  LogChunk,
} from '../../proto/wire.ts';
import { sealedDigest } from '../../proto/documents/sealed-output.ts';
import type { JournalRecord } from '../jobs/journal-record.ts';
import type { Delivery, Facts, Greeting, Incoming, LogPiece, Outgoing } from './courier.ts';

type EventsMessage = Extract<Outgoing, { type: 'events' }>;

/** The wire's types end here: what is read becomes the agent's own, what is said becomes the wire's. */

const ZSTD_LEVEL_1 = { params: { [zlib.constants.ZSTD_c_compressionLevel]: 1 } };
/** A line or two does not get smaller. */
const COMPRESS_FROM_BYTES = 256;

export function encodeFacts(facts: Facts): WireFacts {
  return { ...facts };
}

export function encodeHello(greeting: Greeting): ConnectRequest {
  return { hello: { ...greeting, facts: encodeFacts(greeting.facts) } };
}

export function encodePiece(piece: LogPiece): LogChunk {
  const packed =
    piece.bytes.length < COMPRESS_FROM_BYTES
      ? null
      : zlib.zstdCompressSync(piece.bytes, { ...ZSTD_LEVEL_1, chunkSize: piece.bytes.length });
  const isSmaller = packed !== null && packed.length < piece.bytes.length;
  return {
    offset: piece.offset,
    length: piece.bytes.length,
    compression: isSmaller ? 1 : 0,
    data: isSmaller ? packed : piece.bytes,
    firstLine: piece.firstLine,
    lines: piece.lines,
  };
}

export function encodeOutgoing(message: Outgoing): ConnectRequest {
  switch (message.type) {
    case 'receipt':
      return { receipt: { jobId: message.job, receipt: message.receipt } };
    case 'events':
      return { events: encodeEvents(message) };
    case 'progress': {
      const { phase, percent, text } = message.progress;
      return {
        progress: { jobId: message.job, phase, text, ...(percent !== null && { percent }) },
      };
    }
    case 'ended':
      return {
        ended: {
          jobId: message.job,
          receipt: message.end.receipt,
          result: message.end.result,
          plan: message.end.plan ?? Buffer.alloc(0),
          tail: message.tail.map(encodePiece),
          logLength: message.logLength,
          logReleased: message.logReleased,
          sealedOutputs: [...message.end.sealedOutputs],
          ...(message.unsaid.receipt !== null && { accepted: message.unsaid.receipt }),
          ...(message.unsaid.records.length > 0 && {
            events: encodeEvents({ job: message.job, ...message.unsaid }),
          }),
        },
      };
    case 'heartbeat':
      return { heartbeat: {} };
  }
}

function encodeEvents(events: Pick<EventsMessage, 'job' | 'firstSequence' | 'records'>): JobEvents {
  return {
    jobId: events.job,
    firstSequence: events.firstSequence,
    records: events.records.map((record) => Buffer.from(JSON.stringify(toldRecord(record)))),
  };
}

/** Who reads a job's journal is told that a secret was made. The secret, sealed, travels with the end. */
function toldRecord(record: JournalRecord): object {
  if (record.type !== 'secret_sealed') return record;
  const { type, at, name, sealed } = record;
  return { type, at, name, digest: sealedDigest(Buffer.from(sealed, 'base64')) };
}

/** Null for a message of a newer control plane that this agent does not know: it is passed over. */
export function decodeIncoming(message: ConnectResponse__Output): Incoming | null {
  switch (message.body) {
    case 'welcome': {
      const { agentId, serverId, accountId, positions } = message.welcome!;
      return {
        type: 'welcome',
        agentId: agentId!,
        serverId: serverId!,
        accountId: accountId!,
        positions: positions!.map((position) => ({
          job: position.jobId!,
          known: position.known!,
          ended: position.ended!,
          nextSequence: position.nextSequence!,
          logOffset: position.logOffset!,
        })),
      };
    }
    case 'job':
      return { type: 'delivery', delivery: decodeDelivery(message.job!) };
    case 'cancel': {
      const { jobId, mode } = message.cancel!;
      // Stopping is always obeyed; an unknown word means the stronger one.
      return { type: 'cancel', job: jobId!, mode: mode === 'after_step' ? 'after_step' : 'now' };
    }
    case 'revocations': {
      const { ids, documents, certifications } = message.revocations!;
      return {
        type: 'revocations',
        ids: ids!,
        documents: documents!,
        certifications: certifications!,
      };
    }
    case 'acknowledged': {
      const { jobId, receipt, nextSequence, ended, _nextSequence } = message.acknowledged!;
      return {
        type: 'acknowledged',
        acknowledged: {
          job: jobId!,
          receipt: receipt!,
          nextSequence: _nextSequence === undefined ? null : nextSequence!,
          ended: ended!,
        },
      };
    }
    case 'drain':
      return { type: 'drain', reconnectAfterMs: message.drain!.reconnectAfterMs! };
    case 'heartbeat':
      return { type: 'heartbeat' };
    case 'openTerminal': {
      const { jobId, attachment } = message.openTerminal!;
      return { type: 'terminal', job: jobId!, attachment: attachment! };
    }
    case 'trust': {
      const { rootChain, accountKeys } = message.trust!;
      return { type: 'trust', rootChain: rootChain!, accountKeys: accountKeys! };
    }
    default:
      return null;
  }
}

function decodeDelivery(delivery: JobDelivery__Output): Delivery {
  return {
    job: delivery.jobId!,
    order: delivery.order!,
    authorization: delivery.authorization!.length > 0 ? delivery.authorization! : null,
    certifications: delivery.certifications!,
    plan: delivery.plan!.length > 0 ? delivery.plan! : null,
    given: delivery.given!.map(({ document, sealed }) => ({
      document: document!,
      sealed: sealed!,
    })),
    auditHead: /^[0-9a-f]{64}$/.test(delivery.auditHead!) ? delivery.auditHead! : null,
  };
}
