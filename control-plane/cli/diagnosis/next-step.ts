import { findAction } from '../../../proto/actions/catalogue.ts';
import { worksOn } from '../../../proto/actions/declaration.ts';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { targetWords } from '../orders/order-options.ts';
import { valueText } from '../orders/plan-view.ts';
import { commandText } from '../../../proto/documents/command-text.ts';

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
  { server, target }: { server: string; target: Order['target'] },
): NextStep {
  const action = suggestion === null ? undefined : findAction(suggestion.action);
  if (suggestion === null || action === undefined) return { command: null, byHand };
  if (!worksOn(action, target)) {
    const elsewhere = target === null ? ` From a rescue system: ${action.id} with --disk.` : '';
    return { command: null, byHand: byHand + elsewhere };
  }
  if (!action.parameters.safeParse(suggestion.parameters).success) return { command: null, byHand };
  const words = Object.entries(suggestion.parameters).flatMap(([name, value]) => [
    '--param',
    `${name}=${valueText(value)}`,
  ]);
  const verb = action.plans ? 'plan' : 'run';
  return {
    command: `intervene ${commandText([verb, server, action.id, ...words, ...targetWords(target)])}`,
    byHand,
  };
}
