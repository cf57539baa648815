import { isDeepStrictEqual } from 'node:util';
import { FindingError } from './check-list.ts';
import type { CheckList } from './check-list.ts';
import type { JobFacts } from './pack-jobs.ts';

/**
 * Every undo must say what the order of the job said that it takes back. That job may be of another
 * intervention, whose pack then tells what allowed it.
 *
 * @param packed ids of all jobs of the pack, also of those that do not hold
 */
export function checkUndos(
  jobs: readonly JobFacts[],
  packed: ReadonlySet<string>,
  checks: CheckList,
): void {
  for (const { name, order } of jobs.filter(({ order: { mode } }) => mode === 'undo')) {
    if (order.undoes === null || !packed.has(order.undoes)) {
      checks.note(
        `undo of ${name}`,
        `takes back job ${order.undoes}, which is not in this pack: what allowed it, only its own pack shows`,
      );
      continue;
    }
    checks.try(`undo of ${name}`, () => {
      const undone = jobs.find(({ id }) => id === order.undoes);
      if (undone === undefined) {
        throw new FindingError(`it takes back job ${order.undoes}, which does not hold`);
      }
      if (undone.order.mode !== 'apply') throw new FindingError(`${undone.name} changed nothing`);
      const other = SAME.find((field) => !isDeepStrictEqual(order[field], undone.order[field]));
      if (other !== undefined) {
        throw new FindingError(
          `the order names another ${WORDS[other]} than that of ${undone.name}`,
        );
      }
      return { value: undone, detail: `takes back ${undone.name}, under the same authorization` };
    });
  }
}

const WORDS = {
  server: 'server',
  authorization: 'authorization',
  action: 'action',
  actionVersion: 'version of the action',
  parameters: 'set of parameters',
  target: 'target',
} as const;
const SAME = Object.keys(WORDS) as (keyof typeof WORDS)[];
