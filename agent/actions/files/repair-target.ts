import { ActionError, type ActionContext } from '../../runner/action.ts';
import { withTarget, type Target } from '../../target/open-target.ts';

/**
 * Opens the target of the order. Throws ActionError `target_missing` where a rescue system would change
 * itself, which is gone with the next boot.
 */
export function withRepairTarget<T>(
  context: ActionContext,
  options: { write: boolean },
  body: (target: Target) => Promise<T>,
): Promise<T> {
  const { agentMode, target } = context.spec;
  if (agentMode === 'rescue' && target === null) {
    throw new ActionError(
      'target_missing',
      'this is a rescue system: say which system on its disks is meant, with --disk',
    );
  }
  return withTarget(context, options, body);
}
