import type { ActionImplementation } from '../runner/action.ts';
import { commandRun } from './command/command-run.ts';

/**
 * Who carries out each declared action. Loaded when needed, so that a runner starts fast; `command.run`
 * alone is always there, because people wait for it.
 */
const implementations: Record<string, () => Promise<ActionImplementation>> = {
  'command.run': () => Promise.resolve(commandRun),
  'bootloader.repair': async () =>
    (await import('./bootloader/repair-bootloader.ts')).bootloaderRepair,
  'boot.repair-fstab': async () => (await import('./boot/repair-fstab.ts')).repairFstab,
  'diagnostics.collect': async () =>
    (await import('./diagnostics/collect-diagnostics.ts')).diagnosticsCollect,
  'filesystem.check': async () => (await import('./filesystem/index.ts')).filesystemCheck,
  'filesystem.repair': async () => (await import('./filesystem/index.ts')).filesystemRepair,
  'filesystem.reclaim': async () =>
    (await import('./filesystem/reclaim/reclaim.ts')).filesystemReclaim,
  'service.status': async () => (await import('./service/index.ts')).serviceStatus,
  'service.restart': async () => (await import('./service/index.ts')).serviceRestart,
  'service.configure': async () => (await import('./service/index.ts')).serviceConfigure,
  'service.override': async () => (await import('./service/index.ts')).serviceConfigure,
  'service.restore-configuration': async () =>
    (await import('./service/restore-configuration.ts')).restoreConfiguration,
  'network.recover': async () => (await import('./network/recover.ts')).networkRecover,
  'firewall.recover': async () => (await import('./firewall/recover.ts')).firewallRecover,
  'packages.install': async () => (await import('./packages/index.ts')).packagesInstall,
  'packages.repair': async () => (await import('./packages/index.ts')).packagesRepair,
  'access.repair-accounts': async () => (await import('./access/index.ts')).accessRepairAccounts,
  'access.reset-password': async () => (await import('./access/index.ts')).accessResetPassword,
  'access.restore-ssh': async () => (await import('./access/index.ts')).accessRestoreSsh,
  'system.reboot': async () => (await import('./system/reboot.ts')).systemReboot,
  'job.confirm': async () => (await import('./job/job-confirm.ts')).jobConfirm,
  'terminal.open': async () => (await import('./terminal/terminal-open.ts')).terminalOpen,
};

/** Undefined for an action this agent cannot carry out. */
export async function loadImplementation(id: string): Promise<ActionImplementation | undefined> {
  return Object.hasOwn(implementations, id) ? implementations[id]!() : undefined;
}

export const implementedActions: readonly string[] = Object.keys(implementations);
