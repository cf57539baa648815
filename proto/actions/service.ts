import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';
import { fileRepairResult } from './file-repair-result.ts';
import { boundedUnitSetting, unitSetting } from './unit-settings.ts';

const NAME = '[A-Za-z0-9:_.\\\\@][A-Za-z0-9:_.\\\\@-]*';

function unitOf(types: readonly string[]) {
  return z
    .string()
    .max(255)
    .regex(
      new RegExp(`^(?!.*@\\.)${NAME}\\.(?:${types.join('|')})$`),
      `names no unit: write it with its type, such as nginx.service (${types.join(', ')})`,
    );
}

/** What can be restarted or set up without taking a whole boot stage along. */
const changeable = unitOf(['service', 'socket', 'timer', 'path']).describe(
  'the unit with its type, such as nginx.service',
);

/** Where a boot may end. */
const bootTarget = z.enum(['multi-user.target', 'graphical.target']);

const text = (most: number) => z.string().max(most);
const unitList = z.array(text(256)).max(256);

export const journalLine = z.strictObject({
  /** RFC 3339, UTC. */
  at: text(40),
  /** As in syslog: 3 is an error, 6 is information. */
  level: z.int().min(0).max(7),
  from: text(100),
  text: text(500),
});
export type JournalLine = z.output<typeof journalLine>;

/** How a unit is; what cannot be known is null. */
export const unitStanding = z.strictObject({
  load: text(40),
  active: text(40),
  sub: text(40),
  /** Why it ended last, in systemd's word: `success`, `exit-code`, `timeout`, `start-limit-hit`. */
  result: text(40).nullable(),
  /** `enabled`, `disabled`, `static`, `masked`. */
  enablement: text(40),
  mainPid: z.int().min(1).nullable(),
  restarts: z.int().min(0),
  memoryBytes: z.int().min(0).nullable(),
  /** Since when it is in this state; RFC 3339, UTC. */
  since: text(40).nullable(),
});
export type UnitStanding = z.output<typeof unitStanding>;

export const affectedUnit = z.strictObject({
  unit: text(256),
  /** What a restart of the unit does to it. */
  how: z.enum(['restarted', 'stopped']),
  active: text(40),
});
export type AffectedUnit = z.output<typeof affectedUnit>;

export const serviceStatusResult = z.strictObject({
  unit: text(256),
  description: text(500),
  standing: unitStanding,
  mainProgram: text(300).nullable(),
  file: text(4096).nullable(),
  dropIns: z.array(text(4096)).max(64),
  requires: unitList,
  wants: unitList,
  triggeredBy: unitList,
  affected: z.array(affectedUnit).max(256),
  findings: z.array(text(500)).max(20),
  journal: z.array(journalLine).max(100),
});
export type ServiceStatusResult = z.output<typeof serviceStatusResult>;

export const serviceStatusParameters = z.strictObject({
  unit: unitOf([
    ...['service', 'socket', 'timer', 'path', 'mount', 'automount'],
    ...['swap', 'target', 'slice', 'scope', 'device'],
  ]).describe('the unit with its type, such as nginx.service'),
  lines: z.int().min(1).max(100).default(20).describe('how many lines of its journal'),
});

export const serviceStatus: ActionDeclaration = {
  id: 'service.status',
  version: 1,
  title: 'Look at a service',
  sentence: 'Look at one service: its state, its set-up, what depends on it, its last messages.',
  class: 'A',
  planClass: 'A',
  plans: false,
  changes: false,
  undo: 'none',
  parameters: serviceStatusParameters,
  result: serviceStatusResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'now',
  usualDuration: 'a second',
  capabilities: ['host'],
};

export const configurationCheck = z.strictObject({
  argv: z.array(text(4096)).max(32),
  passed: z.boolean(),
  /** What the checker said, its last words. */
  said: text(2000),
});
export type ConfigurationCheck = z.output<typeof configurationCheck>;

export const serviceRestartResult = z.strictObject({
  outcome: z.enum(['running', 'ended_well', 'failed', 'still_stopping', 'restored']),
  unit: text(256),
  before: unitStanding,
  after: unitStanding,
  affected: z
    .array(z.strictObject({ unit: text(256), before: text(40), after: text(40) }))
    .max(256),
  check: configurationCheck.nullable(),
  /** Why it failed, as the service or systemd put it; null when it did not or nobody said. */
  because: text(500).nullable(),
  journal: z.array(journalLine).max(100),
  detail: text(2000),
});
export type ServiceRestartResult = z.output<typeof serviceRestartResult>;

export const serviceRestartParameters = z.strictObject({
  unit: changeable,
  ignoreFailedCheck: z
    .boolean()
    .default(false)
    .describe("restart although the service's own check finds its configuration wrong"),
  stopWithinSeconds: z
    .int()
    .min(1)
    .max(3600)
    .optional()
    .describe('kill its processes if they have not stopped by then; else its own limit holds'),
  watchSeconds: z
    .int()
    .min(1)
    .max(300)
    .default(5)
    .describe('how long it must stay up to count as running'),
});

export const serviceRestart: ActionDeclaration = {
  id: 'service.restart',
  version: 1,
  title: 'Restart a service',
  sentence:
    'Check the configuration of one service and restart it. What it held in memory is lost; whether it runs can be put back.',
  class: 'B',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: serviceRestartParameters,
  result: serviceRestartResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds to 3 minutes',
  capabilities: ['host', 'network', 'runs-target-programs'],
};

export const serviceConfigureResult = z.strictObject({
  outcome: z.enum(['configured', 'rolled_back', 'restored']),
  unit: text(256),
  before: unitStanding,
  after: unitStanding,
  /** Files that differ now, by the digest of their content; null where there was or is none. */
  files: z
    .array(
      z.strictObject({ path: text(4096), before: text(80).nullable(), after: text(80).nullable() }),
    )
    .max(64),
  detail: text(2000),
});
export type ServiceConfigureResult = z.output<typeof serviceConfigureResult>;

const dropInName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/, 'is no name for a drop-in: letters, digits, - and _');

const dropIn = dropInName
  .optional()
  .describe('name of the drop-in to write: UNIT.d/NAME.conf below /etc/systemd/system');
const removeDropIn = dropInName.optional().describe('name of the drop-in to remove');
const settingList = <T extends z.ZodType>(setting: T) =>
  z
    .array(setting)
    .min(1)
    .max(64)
    .optional()
    .describe('all settings of the drop-in, such as ["Service.LimitNOFILE=65536"]');

interface DropInParameters {
  dropIn?: string | undefined;
  settings?: string[] | undefined;
  removeDropIn?: string | undefined;
}

const isWhole = ({ dropIn: name, settings }: DropInParameters) =>
  (name === undefined) === (settings === undefined);
const isOneChange = ({ dropIn: name, removeDropIn: removed }: DropInParameters) =>
  name === undefined || removed === undefined;
const WHOLE = 'dropIn and settings belong together: the file and all that is to stand in it';
const ONE_CHANGE = 'a job writes a drop-in or removes one: order the other one by itself';

const backupDirectory = absolutePath
  .optional()
  .describe('where the old files are kept; in a rescue system a folder on a durable disk');

export const serviceConfigureParameters = z
  .strictObject({
    unit: z
      .union([changeable, bootTarget])
      .describe('the unit with its type, such as nginx.service'),
    isDefault: z
      .literal(true)
      .optional()
      .describe('start the system into this target: multi-user.target or graphical.target'),
    enabled: z.boolean().optional().describe('whether it starts with the system'),
    masked: z.boolean().optional().describe('whether nothing at all may start it'),
    dropIn,
    settings: settingList(boundedUnitSetting),
    removeDropIn,
    backupDirectory,
  })
  .refine(
    ({ unit, isDefault }) => (isDefault === true) === bootTarget.safeParse(unit).success,
    'isDefault is for multi-user.target and graphical.target, and all that is changed with them',
  )
  .refine(
    ({ isDefault, ...rest }) =>
      isDefault === undefined ||
      [rest.enabled, rest.masked, rest.dropIn, rest.settings, rest.removeDropIn].every(
        (given) => given === undefined,
      ),
    'isDefault is ordered by itself',
  )
  .refine(isWhole, WHOLE)
  .refine(isOneChange, ONE_CHANGE)
  .refine(
    ({ isDefault, enabled, masked, dropIn: name, removeDropIn: removed }) =>
      [isDefault, enabled, masked, name, removed].some((given) => given !== undefined),
    'says nothing to change: give enabled, masked, dropIn with settings, removeDropIn, or isDefault',
  )
  .refine(
    ({ enabled, masked }) => !(enabled === true && masked === true),
    'a masked unit cannot be enabled',
  );

export const serviceConfigure: ActionDeclaration = {
  id: 'service.configure',
  version: 1,
  title: 'Set up a service',
  sentence:
    'Let a service start with the system or not, and set its limits and time-outs. The old set-up is kept and can be put back.',
  class: 'B',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: serviceConfigureParameters,
  /** Of a system on disks, and of the boot target, there is no state before and after: only files. */
  result: z.union([serviceConfigureResult, fileRepairResult]),
  bringsIn: ['settings'],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds',
  capabilities: ['host'],
  offline: { capabilities: ['disks'] },
};

export const serviceOverrideParameters = z
  .strictObject({
    unit: changeable,
    dropIn,
    settings: settingList(unitSetting),
    removeDropIn,
    backupDirectory,
  })
  .refine(isWhole, WHOLE)
  .refine(isOneChange, ONE_CHANGE)
  .refine(
    ({ dropIn: name, removeDropIn: removed }) => name !== undefined || removed !== undefined,
    'says nothing to change: give dropIn with settings, or removeDropIn',
  );

/**
 * A drop-in with any setting, also those that say which program runs, as whom, with which environment. An
 * action of its own, not a class that depends on parameters: whoever allows `service.configure` allows no more.
 */
export const serviceOverride: ActionDeclaration = {
  ...serviceConfigure,
  id: 'service.override',
  title: 'Change what a service runs',
  sentence:
    'Change what a service runs and with which rights, by a file beside its own. The old set-up is kept and can be put back.',
  class: 'C',
  parameters: serviceOverrideParameters,
};

export const restoreConfigurationParameters = z.strictObject({
  unit: unitOf(['service']).describe('the service with its type, such as nginx.service'),
  file: absolutePath.describe(
    'the configuration file that is put back as its package brought it, such as /etc/nginx/nginx.conf',
  ),
  backupDirectory,
});

/**
 * An action of its own: what stands in the file is the client's work, which no other action touches, so a
 * grant has to name the file. Its plan is of class B, since whether the service takes the file is told by the
 * target's own program.
 */
export const serviceRestoreConfiguration: ActionDeclaration = {
  id: 'service.restore-configuration',
  version: 1,
  title: "Put a service's configuration file back",
  sentence:
    'Put one configuration file, with which its service does not start, back as its package brought it. What stands in it now is kept and can be put back.',
  class: 'B',
  planClass: 'B',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: restoreConfigurationParameters,
  result: fileRepairResult,
  bringsIn: ['file'],
  sealedInputs: [],
  interrupt: 'finish',
  usualDuration: 'seconds',
  capabilities: ['host', 'network', 'runs-target-programs'],
  offline: { capabilities: ['disks', 'runs-target-programs'] },
};
