import {
  ActionError,
  type ActionContext,
  type ActionImplementation,
  type ActionResult,
} from './action.ts';

/** Undefined for an action that this agent cannot carry out. */
export type LoadImplementation = (action: string) => Promise<ActionImplementation | undefined>;

/** Carries out the job's mode of its action. */
export async function perform(
  context: ActionContext,
  load: LoadImplementation,
): Promise<ActionResult> {
  const { spec } = context;
  const { action, mode, plan } = spec;
  const implementation = await load(action);
  if (implementation === undefined) throw new ActionError('action_unknown', `${action} is unknown`);
  if (spec.target !== null || Object.hasOwn(spec.parameters, 'device')) {
    const { requireSoundDisks } =
      await import('../actions/diagnostics/hardware/require-sound-disks.ts');
    await requireSoundDisks(context);
  }
  switch (mode) {
    case 'plan': {
      const { makePlan } = await import('./make-plan.ts');
      await makePlan(implementation, context);
      return { succeeded: true, reason: null, exitStatus: null, result: null };
    }
    case 'apply': {
      if (plan === null) return implementation.apply(context, null);
      const { planOf } = await import('./make-plan.ts');
      return implementation.apply(context, planOf(context.spec));
    }
    case 'undo':
      if (implementation.undo === undefined) {
        throw new ActionError('undo_not_possible', `${action} cannot be undone`);
      }
      return implementation.undo(context);
  }
}
