import type { UnitStanding } from '../../../proto/actions/service.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { showUnits, type Properties } from './systemctl.ts';
import { parseSystemdTime, parseTimeSpan } from './time-span.ts';

type Context = Pick<ActionContext, 'run'>;

/** A unit as systemd has it. */
export interface Unit {
  /** Its own name; others are aliases. */
  id: string;
  names: readonly string[];
  description: string;
  standing: UnitStanding;
  loadError: string;
  file: string | null;
  dropIns: readonly string[];
  /** `simple`, `notify`, `oneshot`; empty for what is no service. */
  type: string;
  /** First word of what it runs. */
  program: string | null;
  /** All words of it, parted by blanks. */
  programWords: string;
  /** Null: it waits for ever. */
  startLimitMs: number | null;
  stopLimitMs: number | null;
  requires: readonly string[];
  wants: readonly string[];
  triggeredBy: readonly string[];
  /** Units that systemd may start because of this one. */
  starts: readonly string[];
  /** What systemd does to the whole system when this one ends, as `FailureAction=reboot`. */
  systemActions: readonly string[];
  /** Units that a restart of this one restarts, and those it only stops. */
  restartsWithIt: readonly string[];
  stopsWithIt: readonly string[];
  isStartRefused: boolean;
  isStopRefused: boolean;
  needsReload: boolean;
  exit: string;
}

const SYSTEM_ACTIONS = ['SuccessAction', 'FailureAction', 'StartLimitAction', 'JobTimeoutAction'];
const PROPERTIES = [
  ...['Id', 'Names', 'Description', 'LoadState', 'LoadError', 'ActiveState', 'SubState', 'Result'],
  ...['UnitFileState', 'FragmentPath', 'DropInPaths', 'Type', 'ExecStart', 'MainPID', 'NRestarts'],
  ...['MemoryCurrent', 'StateChangeTimestamp', 'TimeoutStartUSec', 'TimeoutStopUSec'],
  ...['Requires', 'Wants', 'TriggeredBy', 'RefuseManualStart', 'RefuseManualStop'],
  ...['BindsTo', 'Upholds', 'OnSuccess', 'OnFailure', 'Triggers', ...SYSTEM_ACTIONS],
  ...['RequiredBy', 'RequisiteOf', 'BoundBy', 'ConsistsOf', 'PropagatesStopTo'],
  ...['NeedDaemonReload', 'ExecMainCode', 'ExecMainStatus'],
];

/** Looks a unit up. Throws ActionError `unit_not_found` for one that is not there. */
export async function readUnit(context: Context, name: string): Promise<Unit> {
  const [unit] = await readUnits(context, [name]);
  if (unit === undefined || unit.standing.load === 'not-found') {
    throw new ActionError(
      'unit_not_found',
      `there is no unit ${name} here; its name is spelt otherwise, or its package is not installed`,
    );
  }
  return unit;
}

/** Looks several up at once; also such as are not there. */
export async function readUnits(context: Context, names: readonly string[]): Promise<Unit[]> {
  return (await showUnits(context, names, PROPERTIES)).map(unitOf);
}

export function unitOf(properties: Properties): Unit {
  const of = (name: string) => properties.get(name) ?? '';
  const list = (name: string) => of(name).split(' ').filter(Boolean).slice(0, 256);
  const program = /\bpath=(\S+) ;/.exec(of('ExecStart'))?.[1] ?? null;
  return {
    id: of('Id'),
    names: list('Names'),
    description: of('Description').slice(0, 500),
    standing: standingOf(of),
    loadError: of('LoadError')
      .replace(/^\S+ "(.*)"$/, '$1')
      .slice(0, 400),
    file: of('FragmentPath') || null,
    dropIns: list('DropInPaths').slice(0, 64),
    type: of('Type'),
    program,
    programWords: /argv\[\]=(.*?) ; ignore_errors=/.exec(of('ExecStart'))?.[1] ?? '',
    startLimitMs: parseTimeSpan(of('TimeoutStartUSec')),
    stopLimitMs: parseTimeSpan(of('TimeoutStopUSec')),
    requires: list('Requires'),
    wants: list('Wants'),
    triggeredBy: list('TriggeredBy'),
    starts: ['Requires', 'Wants', 'BindsTo', 'Upholds', 'OnSuccess', 'OnFailure', 'Triggers']
      .flatMap((name) => of(name).split(' '))
      .filter(Boolean),
    systemActions: SYSTEM_ACTIONS.filter((name) => !['', 'none'].includes(of(name))).map(
      (name) => `${name}=${of(name)}`,
    ),
    restartsWithIt: ['RequiredBy', 'RequisiteOf', 'BoundBy', 'ConsistsOf'].flatMap(list),
    stopsWithIt: list('PropagatesStopTo'),
    isStartRefused: of('RefuseManualStart') === 'yes',
    isStopRefused: of('RefuseManualStop') === 'yes',
    needsReload: of('NeedDaemonReload') === 'yes',
    exit: exitText(of('ExecMainCode'), of('ExecMainStatus')),
  };
}

function standingOf(of: (name: string) => string): UnitStanding {
  const pid = Number(of('MainPID'));
  const memory = of('MemoryCurrent');
  return {
    load: of('LoadState').slice(0, 40),
    active: of('ActiveState').slice(0, 40),
    sub: of('SubState').slice(0, 40),
    result: of('Result').slice(0, 40) || null,
    enablement: of('UnitFileState').slice(0, 40),
    mainPid: Number.isSafeInteger(pid) && pid > 0 ? pid : null,
    restarts: Number(of('NRestarts')) || 0,
    // `[not set]`, or the largest number there is, where nobody counts.
    memoryBytes: /^\d{1,15}$/.test(memory) ? Number(memory) : null,
    since: parseSystemdTime(of('StateChangeTimestamp')),
  };
}

/** How its main process ended last; empty when it has not, or well. */
function exitText(code: string, status: string): string {
  if (code === '1') return status === '0' ? '' : `it exited with status ${status}`;
  if (code === '2') return `signal ${status} killed it`;
  return code === '3' ? `signal ${status} killed it, and it left a core dump` : '';
}

export function isUp({ active }: Pick<UnitStanding, 'active'>): boolean {
  return active === 'active' || active === 'reloading' || active === 'activating';
}

/** A state as people say it: `active (running)`. */
export function standingText({ active, sub }: Pick<UnitStanding, 'active' | 'sub'>): string {
  return `${active} (${sub})`;
}
