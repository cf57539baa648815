import { lstat, mkdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { syncDirectory, writeDurably } from '../../connection/durable-file.ts';
import { GUARDIAN } from '../../guard/guard-folder.ts';
import type { ActionContext } from '../../runner/action.ts';
import { systemctl } from '../service/systemctl.ts';

type Context = Pick<ActionContext, 'run' | 'note'>;

export const UNIT_FOLDER = '/etc/systemd/system';
/** Units that set a network or its filter up: at boot the guardian comes before them. */
const NETWORK_UNITS = [
  'network-pre.target',
  'NetworkManager.service',
  'firewalld.service',
  'networking.service',
  'netfilter-persistent.service',
  'nftables.service',
  'systemd-networkd.service',
  'ufw.service',
];
/** First version of systemd that starts a service of type oneshot again (its NEWS). */
const RESTARTS_ONESHOT = 244;

export function guardUnitName(job: string): string {
  return `intervene-guard-${job}.service`;
}

/** Whether the running system has systemd as its first process (sd_booted(3)). */
export async function isSystemdRunning(): Promise<boolean> {
  return lstat('/run/systemd/system').then(
    (found) => found.isDirectory(),
    () => false,
  );
}

/**
 * The unit that starts a guardian now and, unless it has done its work by then, at the next boot, before any network
 * is set up.
 */
export function guardUnitText(job: string, guard: string, systemdVersion: number): string {
  return [
    '[Unit]',
    `Description=Takes back what Intervene's job ${job} changed, unless it is confirmed`,
    'DefaultDependencies=no',
    `ConditionPathExists=${guard}/${GUARDIAN}`,
    `RequiresMountsFor=${guard}`,
    'After=local-fs.target',
    `Before=${NETWORK_UNITS.join(' ')} shutdown.target`,
    'Conflicts=shutdown.target',
    '',
    '[Service]',
    'Type=oneshot',
    `ExecStart=/bin/sh ${guard}/${GUARDIAN} wait`,
    'TimeoutStartSec=infinity',
    ...(systemdVersion >= RESTARTS_ONESHOT ? ['Restart=on-failure', 'RestartSec=1'] : []),
    '',
    '[Install]',
    'WantedBy=sysinit.target',
    '',
  ].join('\n');
}

/** Writes the unit and enables it, durably. systemd need not answer for that. */
export async function writeGuardUnit(context: Context, job: string, guard: string): Promise<void> {
  const version = await context.run(['systemctl', '--version'], { output: 'capture' });
  const number = Number(/^systemd (\d+)/.exec(version.out)?.[1] ?? 0);
  const name = guardUnitName(job);
  const wants = join(UNIT_FOLDER, 'sysinit.target.wants');
  await mkdir(wants, { recursive: true, mode: 0o755 });
  await writeDurably(join(UNIT_FOLDER, name), guardUnitText(job, guard, number), 0o644);
  await symlink(join(UNIT_FOLDER, name), join(wants, name));
  await syncDirectory(wants);
}

/** Lets systemd start the guardian; where it does not, the agent has started one. */
export async function startGuardUnit(context: Context, job: string): Promise<void> {
  for (const words of [['daemon-reload'], ['start', '--no-block', guardUnitName(job)]]) {
    const done = await systemctl(context, words).catch((error: Error) => ({
      exitStatus: null,
      err: error.message,
    }));
    if (done.exitStatus !== 0) {
      context.note(`systemctl ${words[0]}: ${done.err.trim()}`);
      return;
    }
  }
}
