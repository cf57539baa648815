import { ActionError } from '../../../runner/action.ts';

/** Something on the disks that holds volumes and could not be opened as it should be. */
export interface StorageProblem {
  reason:
    | 'array_degraded'
    | 'array_incomplete'
    | 'array_reshaping'
    | 'raid_unavailable'
    | 'volume_group_incomplete'
    | 'volume_unsupported'
    | 'device_mapper_unavailable'
    | 'disk_key_missing'
    | 'tool_missing'
    | 'not_opened';
  /** What it is, as people and findings name it: `RAID shop:0`. */
  subject: string;
  why: string;
  /** What shows it. */
  command: string;
}

/** Something is on none of the disks: what could not be opened there is the likely reason. */
export function notFound(
  reason: string,
  what: string,
  closed: readonly StorageProblem[],
): ActionError {
  const list = closed.map(({ subject, why }) => `${subject}: ${why}`).join('; ');
  return new ActionError(closed[0]?.reason ?? reason, list === '' ? what : `${what}. ${list}`);
}

/** A disk is missing or was thrown out, or content is being moved: whatever is written now may cost what is left. */
export const FORBIDS_WRITING: ReadonlySet<StorageProblem['reason']> = new Set([
  'array_degraded',
  'array_incomplete',
  'array_reshaping',
  'volume_group_incomplete',
]);
