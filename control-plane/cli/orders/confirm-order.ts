import { commandText } from '../../../proto/documents/command-text.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import type { ActionClass } from '../../../proto/documents/fields.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { styled } from '../output/terminal.ts';

export interface OrderToConfirm {
  action: ActionDeclaration;
  class: ActionClass;
  server: string;
  yes: boolean;
  /** Whether the person named the plan that is applied, so that somebody has printed it before. */
  planNamed: boolean;
  /** Parameters and options as they are typed, for the command that prints a plan. */
  words?: readonly string[];
  /** The flags that say yes to what was shown, where `--yes` alone does not. */
  flags?: string;
  /** What is done, for the question: `Repair a file system on web-04`. */
  what: string;
}

/**
 * Asks before what changes a server: a plain question for class B, the server's name for class C. `--yes`
 * answers for A and B, and for C only where the plan was named, so that no script applies a plan nobody saw;
 * an action that has no plan shows all it does in its own words.
 */
export async function confirmOrder(context: CommandContext, order: OrderToConfirm): Promise<void> {
  if (order.class === 'A') return;
  requireNamedPlan(order);
  if (order.yes) return;
  const agreed =
    order.class === 'B'
      ? await context.prompt.confirm([`${order.what}?`], order.flags ?? '--yes')
      : await isNameTyped(context, order);
  if (agreed) return;
  throw new CliError({
    code: 'not_confirmed',
    happened: 'You did not confirm; nothing was ordered.',
    exitStatus: exitStatus.stopped,
  });
}

function requireNamedPlan(order: OrderToConfirm): void {
  if (!order.yes || order.class !== 'C' || !order.action.plans || order.planNamed) return;
  throw usageError(
    `${order.action.id} is of class C: --yes needs --plan ID, the plan you have read.`,
    [{ label: 'print a plan', command: planCommand(order) }],
    'needs_plan',
  );
}

function planCommand({ server, action, words = [] }: OrderToConfirm): string {
  return commandText(['intervene', 'plan', server, action.id, ...words]);
}

async function isNameTyped(context: CommandContext, order: OrderToConfirm): Promise<boolean> {
  const answer = await context.prompt.ask(
    [
      `${order.what}. Class C: type the server's name `,
      styled('bold', order.server),
      ' to go on: ',
    ],
    order.flags ?? '--yes',
  );
  return answer.trim() === order.server;
}
