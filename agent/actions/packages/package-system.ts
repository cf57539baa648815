import type { RpmManager } from './rpm/rpm-manager.ts';
import { dnfManager } from './rpm/dnf.ts';
import { zypperManager } from './rpm/zypper.ts';
import { ActionError } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { osIds } from '../../target/os-ids.ts';
import { TargetFiles } from '../../target/target-files.ts';

const DPKG = '/var/lib/dpkg';
const RPM_FAMILIES: Readonly<Record<string, RpmManager>> = {
  fedora: dnfManager,
  rhel: dnfManager,
  centos: dnfManager,
  suse: zypperManager,
  opensuse: zypperManager,
  sles: zypperManager,
};

/**
 * What changes packages on this server, by the family it says it is of (os-release(5)): programs of another
 * one may be there, too. Null for dpkg and apt. Throws ActionError `packages_unsupported` for an rpm system
 * whose package manager is not there or is another one.
 */
export async function rpmManagerOf(files = new TargetFiles()): Promise<RpmManager | null> {
  const manager = await familyOf(files);
  if (manager === null) return null;
  const leadsTo = await programAt(files, `/usr/bin/${manager.program}`);
  const refuse = (why: string) => {
    throw new ActionError('packages_unsupported', `${why} Nothing was changed.`);
  };
  if (leadsTo === null) {
    refuse(`this is a server with rpm, and ${manager.program} is not there.`);
  }
  // Fedora from 41 on: another program under that name, which says other things.
  if (leadsTo === 'dnf5')
    refuse('packages of this server are changed by dnf5, which is not known here.');
  return manager;
}

/**
 * The same for the target of a repair. On disks it is always dpkg: of what rpm or another program keeps there
 * nothing is read, so that such a system is refused (`packages_unsupported`) and never called whole.
 */
export async function managerOf({
  kind,
  files,
}: Pick<Target, 'kind' | 'files'>): Promise<RpmManager | null> {
  if (kind === 'live') return rpmManagerOf(files);
  const refuse = (why: string) => {
    throw new ActionError(
      'packages_unsupported',
      `${why} Nothing was looked at or changed: order it on that system itself once it runs.`,
    );
  };
  if ((await familyOf(files)) !== null) {
    refuse('packages of this system are kept by rpm, which is asked on a running system only.');
  }
  if ((await files.stat(DPKG)) === null) {
    refuse(`packages of this system are not kept by dpkg, or its record in ${DPKG} is gone.`);
  }
  return null;
}

async function familyOf(files: TargetFiles): Promise<RpmManager | null> {
  const found = (await osIds(files)).find((id) => Object.hasOwn(RPM_FAMILIES, id));
  return found === undefined ? null : RPM_FAMILIES[found]!;
}

/** The name of the program that it is, perhaps under a link; null when it is not there. */
async function programAt(files: TargetFiles, path: string): Promise<string | null> {
  if ((await files.stat(path)) === null) return null;
  const link = await files.readLink(path).catch(() => null);
  return (link ?? path).split('/').at(-1)!;
}
