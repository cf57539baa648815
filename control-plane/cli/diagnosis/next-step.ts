import { findAction } from '../../../proto/actions/catalogue.ts';
import { worksOn } from '../../../proto/actions/declaration.ts';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { paramWords } from '../orders/parameters.ts';
import { commandText } from '../../../proto/documents/command-text.ts';

/** What was looked at, and how. */
export interface DiagnosedWith {
  server: string;
  /** Null for the running system. */
  target: Order['target'];
  /** The options of the order, the target among them; see `orderWords`. */
  words: readonly string[];
}

export interface NextStep {
  /** Null where no action of this program's catalogue does it. */
  command: string | null;
  byHand: string;
}

/**
 * What to do about a finding. The suggestion comes from the server: it becomes a command only when the
 * catalogue has the action, and it takes such parameters.
 */
export function nextStep(
  { suggestion, byHand }: Finding,
  { server, target, words: options }: DiagnosedWith,
): NextStep {
  const action = suggestion === null ? undefined : findAction(suggestion.action);
  if (suggestion === null || action === undefined) return { command: null, byHand };
  if (!worksOn(action, target)) {
    const elsewhere = target === null ? ` From a rescue system: ${action.id} with --disk.` : '';
    return { command: null, byHand: byHand + elsewhere };
  }
  if (!action.parameters.safeParse(suggestion.parameters).success) return { command: null, byHand };
  const words = [...paramWords(suggestion.parameters), ...options];
  const verb = action.plans ? 'plan' : 'run';
  return {
    command: `intervene ${commandText([verb, server, action.id, ...words])}`,
    byHand,
  };
}
