import { z } from 'zod';
import type { ActionDeclaration } from './declaration.ts';

/**
 * A package name of Debian (policy 5.6.1) or of rpm, alone or with an exact version: `1:1.22.1-9`. Nothing that
 * apt-get, dnf or zypper takes for more than a name fits: no `name-` (removes), no `name/suite`, no pattern, no
 * path, no group, no option.
 */
const packageName = z
  .string()
  .max(256)
  .regex(
    /^[A-Za-z0-9](?:[A-Za-z0-9+._-]{0,126}[A-Za-z0-9+._])?(?:=(?:\d{1,9}:)?[A-Za-z0-9][A-Za-z0-9.+~^_-]*)?$/,
    'is no package name, such as nginx or nginx=1.22.1-9',
  );

const serviceName = z
  .string()
  .max(200)
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9:_.@-]*$/,
    'is no name of a service, such as nginx or php@7.service',
  );

const holdServices = z
  .array(serviceName)
  .min(1)
  .max(32)
  .optional()
  .describe(
    'services that packages may neither start, stop nor restart meanwhile; where rpm is used nothing can hold them, and what would touch them is refused',
  );

export const packagesInstallParameters = z.strictObject({
  packages: z
    .array(packageName)
    .min(1)
    .max(24)
    .refine(
      (names) => new Set(names.map((name) => name.split('=', 1)[0])).size === names.length,
      'names a package twice',
    )
    .describe('packages to install or upgrade, each a name or name=version'),
  holdServices,
});

export const packagesRepairParameters = z.strictObject({
  packages: z
    .array(packageName.refine((name) => !name.includes('='), 'names a version'))
    .min(1)
    .max(64)
    .optional()
    .describe('packages that the repair may bring in or bring to another version, each a name'),
  releaseHolds: z
    .array(packageName.refine((name) => !name.includes('='), 'names a version'))
    .min(1)
    .max(64)
    .optional()
    .describe(
      'packages that are held back though others need another version of them, and are to be held no longer',
    ),
  holdServices,
});

/** What a plan says of one package, and of one file system; people are shown both as tables. */
export const plannedPackage = z.strictObject({
  name: z.string(),
  architecture: z.string(),
  from: z.string().nullable(),
  to: z.string(),
  bytes: z.int(),
  sha256: z.string(),
});
export const plannedDisk = z.strictObject({
  fileSystem: z.string(),
  neededBytes: z.int(),
  freeAtLeastBytes: z.int(),
});

/**
 * What became of one package; `state` is dpkg's own word, such as `installed` or `half-configured`; with rpm
 * `installed`, `not-installed` or `duplicate`.
 */
const changedPackage = z.strictObject({
  name: z.string(),
  architecture: z.string(),
  before: z.string().nullable(),
  after: z.string().nullable(),
  state: z.string(),
});
export type ChangedPackage = z.output<typeof changedPackage>;

/**
 * `incomplete`: something was changed, but not all of it is as it should be. `restored`: what the undone
 * job had changed is as before it. `rolled_back`: what was changed did not hold and was put back.
 */
export const packagesOutcome = z.enum([
  'installed',
  'repaired',
  'nothing_to_do',
  'incomplete',
  'restored',
  'rolled_back',
]);
export type PackagesOutcome = z.output<typeof packagesOutcome>;

export const packagesResult = z.strictObject({
  outcome: packagesOutcome,
  packages: z.array(changedPackage).max(1000),
  /** Configuration files of the client's that packages wanted to replace and did not. */
  keptConffiles: z.array(z.string()).max(200),
  heldServices: z.array(z.string()),
  /** What `dpkg --audit` says, or rpm of what packages lack; empty when it finds nothing. */
  audit: z.string().max(4000),
  exitStatus: z.int().nullable(),
  detail: z.string().max(2000),
});
export type PackagesResult = z.output<typeof packagesResult>;

export const packagesInstall: ActionDeclaration = {
  id: 'packages.install',
  version: 1,
  title: 'Install packages',
  sentence:
    'Install or update named packages from the sources your server uses already. Nothing is removed, and your configuration files are kept.',
  class: 'B',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: packagesInstallParameters,
  result: packagesResult,
  bringsIn: ['packages'],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: '10 seconds to 10 minutes',
  capabilities: ['host', 'network', 'runs-target-programs'],
};

export const packagesRepair: ActionDeclaration = {
  id: 'packages.repair',
  version: 1,
  title: 'Repair packages',
  sentence:
    'Finish packages that were left half installed, and bring in what installed packages lack. Nothing is removed, and your configuration files are kept.',
  class: 'B',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'none',
  parameters: packagesRepairParameters,
  result: packagesResult,
  bringsIn: ['packages', 'releaseHolds'],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: '10 seconds to 10 minutes',
  capabilities: ['host', 'network', 'runs-target-programs'],
  offline: { capabilities: ['disks', 'runs-target-programs'], undo: 'yes' },
};
