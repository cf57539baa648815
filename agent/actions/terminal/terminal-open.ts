import { terminalOpenParameters } from '../../../proto/actions/terminal.ts';
import type { TerminalOpenResult } from '../../../proto/actions/terminal.ts';
import { ActionError } from '../../runner/action.ts';
import type { ActionContext, ActionImplementation, ActionResult } from '../../runner/action.ts';
import { Attachments } from './attachments.ts';
import { findLogin } from './login.ts';
import { TerminalSession } from './terminal-session.ts';
import type { SessionOutcome } from './terminal-session.ts';

/** Carries out `terminal.open`: a shell on a pty, for whoever has the session's key. */
export const terminalOpen: ActionImplementation = { apply };

async function apply(context: ActionContext): Promise<ActionResult> {
  const parameters = terminalOpenParameters.parse(context.spec.parameters);
  const { session: own } = context;
  if (own === undefined) throw new ActionError('session_key_missing', 'This session has no keys.');
  const recordInput = context.spec.recordInput === true;
  const login = await findLogin(context, parameters.user, parameters.term);
  const session = new TerminalSession({
    job: context.spec.job,
    keys: own.keys,
    login,
    idleMs: parameters.idleSeconds * 1000,
    recordInput,
    output: own.openOutput(),
    note: (text) => context.note(text),
  });
  const attachments = new Attachments({
    onFrame: (attachment, frame, isFirst) => session.take(attachment, frame, isFirst),
    onClosed: (attachment) => session.gone(attachment),
  });
  const onAbort = () => session.stop();
  context.signal.addEventListener('abort', onAbort);
  try {
    await attachments.listen();
    context.progress('open', null, `a shell of ${parameters.user}`);
    if (context.signal.aborted) session.stop();
    return resultOf(await session.ended, recordInput);
  } finally {
    context.signal.removeEventListener('abort', onAbort);
    attachments.close();
  }
}

function resultOf(outcome: SessionOutcome, inputRecorded: boolean): ActionResult {
  const { end, exitStatus, signal, attachments, inputBytes, outputBytes } = outcome;
  const counts = { attachments, inputBytes, outputBytes, inputRecorded };
  const result: TerminalOpenResult = { end, exitStatus, signal, ...counts };
  return {
    // What the last command in a shell returned says nothing about the session.
    succeeded: end !== 'tampered',
    reason: end === 'shell_ended' || end === 'closed' ? null : `terminal_${end}`,
    exitStatus,
    result: { ...result },
  };
}
