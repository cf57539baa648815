import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { UploadLogRequest__Output, UploadLogResponse } from '../../proto/wire.ts';
import { wireLimits } from '../../proto/wire.ts';
import { DomainError } from '../domain-error.ts';
import { openChunk } from '../logs/chunk.ts';
import type { LogUpload, LogUploads } from '../logs/log-uploads.ts';
import { endCall, expectFirstMessage, failCall, forEachMessage } from './call-end.ts';

export type UploadLogCall = ServerDuplexStream<UploadLogRequest__Output, UploadLogResponse>;

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * Takes the log of one job from its agent: says how far it is committed, then accepts chunks, no faster than
 * they are stored. Resolves when the call is over and everything accepted is stored or given up.
 */
export async function handleUploadLog(
  call: UploadLogCall,
  agentId: string,
  uploads: LogUploads,
  log: Logger,
): Promise<void> {
  const disarm = expectFirstMessage(call, wireLimits.firstMessageMs);
  let upload: LogUpload | undefined;
  const acknowledge = (committedOffset: number) => {
    if (!call.destroyed && !call.writableEnded) call.write({ committedOffset });
  };
  async function open(message: UploadLogRequest__Output): Promise<void> {
    disarm();
    const jobId = message.body === 'jobId' ? message.jobId! : '';
    if (!UUID.test(jobId)) throw unexpected('A job id comes first.');
    upload = await uploads.open({
      jobId,
      agentId,
      onCommitted: acknowledge,
      onFailed: (error) => failCall(call, error, log),
    });
    acknowledge(upload.writer.committedOffset);
  }

  try {
    await forEachMessage(call, (message) => {
      if (upload === undefined) return open(message);
      if (message.body !== 'chunk') throw unexpected('A chunk was expected.');
      upload.writer.accept(openChunk(message.chunk!));
      return upload.writer.isFull ? upload.writer.whenRoom() : undefined;
    });
    await upload?.close();
    endCall(call);
  } catch (error) {
    failCall(call, error, log);
  } finally {
    await upload?.close();
  }
}

function unexpected(happened: string): DomainError {
  return new DomainError('invalid', 'message_unexpected', happened);
}
