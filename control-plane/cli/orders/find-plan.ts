import { shell } from '../../../proto/documents/command-text.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { JobBody } from '../api/bodies.ts';
import { exitStatus } from '../exit-status.ts';
import { shortDigest } from './read-plan.ts';

const DIGITS_LEAST = 4;

/**
 * The plan job that a person names: by its job (`1042/3`, an id, the end of one), or by the beginning or the
 * end of the plan's digest. Throws CliError when none or several fit.
 */
export function findPlan(jobs: readonly JobBody[], named: string, server: string): JobBody {
  const wanted = named.replace(/^sha256:/, '').toLowerCase();
  const plans = jobs.filter((job) => job.mode === 'plan' && job.planDigest !== null);
  const byName = plans.filter((job) => job.name === named || job.id === wanted);
  const found =
    byName.length > 0
      ? byName
      : plans.filter((job) => {
          const hash = job.planDigest?.replace(/^sha256:/, '') ?? '';
          return (
            wanted.length >= DIGITS_LEAST &&
            (hash.startsWith(wanted) || hash.endsWith(wanted) || job.id.endsWith(wanted))
          );
        });
  const digests = new Set(found.map((job) => job.planDigest));
  const [only] = found;
  if (only !== undefined && digests.size === 1) return only;
  if (found.length > 1) {
    throw usageError(
      `${JSON.stringify(named)} fits several plans: ${found.map((job) => `${shortDigest(job.planDigest ?? '')} (${job.name})`).join(', ')}.`,
      [{ label: 'say more of it', command: shell`intervene jobs list --server ${server}` }],
      'ambiguous',
    );
  }
  throw new CliError({
    code: 'plan_not_found',
    happened: `There is no plan ${JSON.stringify(named)} for ${server}${wanted.length < DIGITS_LEAST ? '; at least four digits are needed' : ''}.`,
    next: [{ label: 'see the jobs', command: shell`intervene jobs list --server ${server}` }],
    exitStatus: exitStatus.usage,
  });
}
