import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { TerminalRequest__Output, TerminalResponse } from '../../proto/wire.ts';
import { wireLimits } from '../../proto/wire.ts';
import { FRAME_MAX_BYTES } from '../../proto/terminal/frame.ts';
import { DomainError } from '../domain-error.ts';
import type { FramePipe } from '../terminals/frame-pipe.ts';
import type { TerminalsService } from '../terminals/terminals-service.ts';
import { endCall, expectFirstMessage } from './call-end.ts';

export type TerminalCall = ServerDuplexStream<TerminalRequest__Output, TerminalResponse>;

/** The agent's side of one attachment. Resolves when the call is over. */
export function handleTerminal(
  call: TerminalCall,
  agentId: string,
  terminals: Pick<TerminalsService, 'arrive'>,
): Promise<void> {
  const over = Promise.withResolvers<void>();
  const disarm = expectFirstMessage(call, wireLimits.firstMessageMs);
  let take: ((frame: Uint8Array) => void) | null = null;
  const pipe: FramePipe = {
    send: (frame) => call.destroyed || call.writableEnded || call.write({ frame }),
    onFrame: (listener) => {
      take = listener;
    },
    onRoom: (listener) => void call.on('drain', listener),
    onClosed: (listener) => void over.promise.then(listener),
    pause: () => void call.pause(),
    resume: () => void call.resume(),
    close: () => endCall(call),
  };
  let isKnown = false;
  const begin = ({ attachment }: TerminalRequest__Output) => {
    disarm();
    const { jobId = '', attachment: name = '' } = attachment ?? {};
    isKnown = terminals.arrive(agentId, jobId, name, pipe);
    if (isKnown) return;
    endCall(call, new DomainError('not_found', 'attachment_unknown', 'Nobody waits for this.'));
  };
  call.on('data', (message: TerminalRequest__Output) => {
    const { frame } = message;
    if (!isKnown && take === null) begin(message);
    else if (frame !== undefined && frame.length > 0 && frame.length <= FRAME_MAX_BYTES)
      take?.(frame);
    else endCall(call, new DomainError('invalid', 'message_unexpected', 'A frame was expected.'));
  });
  call.once('end', () => endCall(call));
  for (const event of ['end', 'close', 'cancelled']) call.once(event, () => over.resolve());
  return over.promise;
}
