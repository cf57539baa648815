import { ActionError, type ActionContext } from '../../runner/action.ts';
import { runDpkg } from './apt-session.ts';
import { digestOf, filesUnder, type Precondition } from './preconditions.ts';

export const DPKG_STATUS = '/var/lib/dpkg/status';
export const EXTENDED_STATES = '/var/lib/apt/extended_states';

/** A package as dpkg knows it. */
export interface InstalledPackage {
  /** As dpkg wants it named: with the architecture only where the name alone is ambiguous. */
  dpkgName: string;
  name: string;
  architecture: string;
  version: string;
  isHeld: boolean;
  /** `installed`, `half-configured`, `config-files`, ... (dpkg(1)). */
  state: string;
  /** dpkg can do nothing with it but install it anew. */
  needsReinstall: boolean;
  isEssential: boolean;
  installedKibibytes: number;
}

const FIELDS = [
  '${binary:Package}',
  '${Package}',
  '${Architecture}',
  '${Version}',
  '${db:Status-Want}',
  '${db:Status-Eflag}',
  '${db:Status-Status}',
  '${Essential}',
  '${Installed-Size}',
];

/** Every package dpkg knows; those that are gone and left nothing are not among them. */
export async function listPackages(
  context: Pick<ActionContext, 'run'>,
): Promise<InstalledPackage[]> {
  const argv = ['dpkg-query', '--show', `--showformat=${FIELDS.join('\\t')}\\n`];
  const done = await runDpkg(context, argv, { output: 'capture' });
  if (done.exitStatus !== 0 || done.truncated) {
    throw new ActionError('dpkg_unreadable', `dpkg-query cannot list packages: ${done.err.trim()}`);
  }
  return done.out
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const [dpkgName, name, architecture, version, want, flag, state, essential, size] =
        line.split('\t');
      return {
        dpkgName: dpkgName!,
        name: name!,
        architecture: architecture!,
        version: version!,
        isHeld: want === 'hold',
        state: state!,
        needsReinstall: flag === 'reinstreq',
        isEssential: essential === 'yes',
        installedKibibytes: Number(size) || 0,
      };
    })
    .filter(({ state }) => state !== 'not-installed');
}

/** The package of that name for that architecture, or for all, which may change between versions. */
export function findPackage(
  packages: readonly InstalledPackage[],
  { name, architecture }: { name: string; architecture: string },
): InstalledPackage | undefined {
  const named = packages.filter((entry) => entry.name === name);
  return (
    named.find((entry) => entry.architecture === architecture) ??
    named.find((entry) => entry.architecture === 'all' || architecture === 'all')
  );
}

/**
 * What a plan for packages rests on: dpkg's record, what apt takes for wanted, and everything that decides
 * what apt would choose.
 */
export async function packagePreconditions(): Promise<Precondition[]> {
  return [
    {
      what: `dpkg's record of every package, ${DPKG_STATUS}`,
      digest: await digestOf([DPKG_STATUS]),
    },
    {
      what: `which packages were installed only for others, ${EXTENDED_STATES}`,
      digest: await digestOf([EXTENDED_STATES]),
    },
    {
      what: 'sources and settings of apt, all files in /etc/apt',
      digest: await digestOf(await filesUnder('/etc/apt')),
    },
  ];
}
