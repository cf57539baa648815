import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { DomainError } from '../domain-error.ts';
import { isUnforeseen, statusOf } from './rpc-status.ts';

/** Ends a call once, with OK or an error; a call that is already over stays so. */
export function endCall<Q, A>(call: ServerDuplexStream<Q, A>, error?: unknown): void {
  if (call.destroyed || call.writableEnded || call.cancelled) return;
  if (error === undefined) call.end();
  else call.emit('error', Object.assign(new Error('call ended'), statusOf(error)));
}

/** Ends a call with an error, and logs one that nobody foresaw. */
export function failCall<Q, A>(call: ServerDuplexStream<Q, A>, error: unknown, log: Logger): void {
  if (isUnforeseen(error)) log.error({ err: error }, 'a call failed');
  endCall(call, error);
}

/**
 * Hands each message to `handle`, the next one when it has done; resolves when the other end has said all or is
 * gone, rejects with what `handle` throws. (An async iterator would destroy the stream before its status is
 * sent.)
 */
export function forEachMessage<Q, A>(
  call: ServerDuplexStream<Q, A>,
  handle: (message: Q) => Promise<void> | void,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let isOver = false;
  const fail = (error: unknown) => {
    isOver = true;
    reject(error as Error);
  };
  call.on('data', (message: Q) => {
    if (isOver) return;
    try {
      const busy = handle(message);
      if (busy === undefined) return;
      call.pause();
      busy.then(() => call.resume(), fail);
    } catch (error) {
      fail(error);
    }
  });
  call.once('end', resolve);
  call.once('close', resolve);
  return promise;
}

/** Ends the call unless `disarm` is called in time: a peer must say what it wants. */
export function expectFirstMessage<Q, A>(
  call: ServerDuplexStream<Q, A>,
  timeoutMs: number,
): () => void {
  const timer = setTimeout(
    () =>
      endCall(call, new DomainError('invalid', 'first_message_late', 'Nothing was said in time.')),
    timeoutMs,
  );
  const disarm = () => clearTimeout(timer);
  call.once('close', disarm);
  return disarm;
}

/** For what a control plane that is about to stop is asked. */
export function draining(): DomainError {
  return new DomainError('unavailable', 'draining', 'This control plane is about to stop.');
}
