import type {
  ChangedPackage,
  PackagesOutcome,
  PackagesResult,
} from '../../../proto/actions/packages.ts';
import type { ActionContext } from '../../runner/action.ts';
import { runDpkg } from './apt-session.ts';
import { findPackage, listPackages } from './installed-packages.ts';

const MAX_PACKAGES = 1000;
const MAX_FILES = 200;

/** What dpkg says is unfinished; empty when nothing is. Its exit status says nothing (dpkg 1.21). */
export async function audit(context: ActionContext): Promise<string> {
  const done = await runDpkg(context, ['dpkg', '--audit'], { output: 'capture' });
  const failure = done.exitStatus === 0 ? '' : `dpkg --audit ended with ${done.exitStatus}. `;
  return `${failure}${done.out}${failure === '' ? '' : done.err}`.trim();
}

/** What became of packages since `before` was taken down. */
export async function whatBecameOf(
  context: ActionContext,
  packages: readonly { name: string; architecture: string; before: string | null }[],
): Promise<ChangedPackage[]> {
  const installed = await listPackages(context);
  return packages.map(({ name, architecture, before }) => {
    const entry = findPackage(installed, { name, architecture });
    return {
      name,
      architecture,
      before,
      after: entry === undefined || entry.state === 'config-files' ? null : entry.version,
      state: entry?.state ?? 'not-installed',
    };
  });
}

export function packagesResult(parts: {
  outcome: PackagesOutcome;
  packages?: readonly ChangedPackage[];
  keptConffiles?: readonly string[];
  heldServices?: readonly string[];
  audit?: string;
  exitStatus?: number | null;
  detail: string;
}): PackagesResult {
  const { outcome, packages = [], keptConffiles = [], heldServices = [], detail } = parts;
  return {
    outcome,
    packages: packages.slice(0, MAX_PACKAGES),
    keptConffiles: keptConffiles.slice(0, MAX_FILES),
    heldServices: [...heldServices],
    audit: (parts.audit ?? '').slice(0, 4000),
    exitStatus: parts.exitStatus ?? null,
    detail: detail.slice(0, 2000),
  };
}
