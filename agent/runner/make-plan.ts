import { open } from 'node:fs/promises';
import { join } from 'node:path';
import type { JsonValue } from '../../proto/documents/fields.ts';
import { planSchema, type Plan } from '../../proto/documents/kinds/plan.ts';
import { documentLimits, parseStrictJson } from '../../proto/documents/strict-json.ts';
import { PLAN_FILE } from '../jobs/control-messages.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { ActionError, type ActionContext, type ActionImplementation } from './action.ts';
import { canonicalJson } from './canonical-json.ts';

/** Lets the action plan, and leaves the plan's bytes in the job's folder, durably. */
export async function makePlan(
  implementation: ActionImplementation,
  context: ActionContext,
): Promise<void> {
  if (implementation.plan === undefined) {
    throw new ActionError('mode_not_supported', `${context.spec.action} has no plan`);
  }
  const { server, action, actionVersion, parameters } = context.spec;
  const body = await implementation.plan(context);
  const bytes = planBytes({ ...body, server, action, actionVersion, parameters });
  const handle = await open(join(context.directory, PLAN_FILE), 'w', 0o600);
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The bytes that are signed and shown. Throws ActionError when they would be no valid document. */
export function planBytes(plan: Plan): Buffer {
  const checked = planSchema.safeParse(plan);
  if (!checked.success) {
    throw new ActionError('plan_malformed', `the plan is not valid: ${checked.error.message}`);
  }
  const bytes = Buffer.from(canonicalJson(checked.data as JsonValue), 'utf8');
  if (bytes.length > documentLimits.bytes) {
    throw new ActionError('plan_too_large', `the plan has ${bytes.length} bytes`);
  }
  return bytes;
}

/** The plan that an apply order names; the agent has verified its signature and digest. */
export function planOf(spec: JobSpec): Plan | null {
  if (spec.plan === null) return null;
  return planSchema.parse(parseStrictJson(Buffer.from(spec.plan, 'base64')));
}
