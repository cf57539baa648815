import { accessRepairAccounts, accessResetPassword, accessRestoreSsh } from './access.ts';
import { bootRepairFstab } from './boot.ts';
import { bootloaderRepair } from './bootloader.ts';
import { commandRun } from './command.ts';
import type { ActionDeclaration } from './declaration.ts';
import { diagnosticsCollect } from './diagnostics.ts';
import { filesystemCheck, filesystemRepair } from './filesystem.ts';
import { filesystemReclaim } from './reclaim.ts';
import {
  serviceConfigure,
  serviceOverride,
  serviceRestart,
  serviceRestoreConfiguration,
  serviceStatus,
} from './service.ts';
import { firewallRecover } from './firewall.ts';
import { jobConfirm } from './job.ts';
import { networkRecover } from './network.ts';
import { packagesInstall, packagesRepair } from './packages.ts';
import { systemReboot } from './system.ts';
import { terminalOpen } from './terminal.ts';

/** Every action there is, in the order people see them. */
export const actions: readonly ActionDeclaration[] = [
  diagnosticsCollect,
  filesystemCheck,
  filesystemRepair,
  filesystemReclaim,
  bootRepairFstab,
  bootloaderRepair,
  serviceStatus,
  serviceRestart,
  serviceConfigure,
  serviceOverride,
  serviceRestoreConfiguration,
  accessRepairAccounts,
  accessResetPassword,
  accessRestoreSsh,
  networkRecover,
  firewallRecover,
  packagesInstall,
  packagesRepair,
  systemReboot,
  jobConfirm,
  terminalOpen,
  commandRun,
];

const byId = new Map(actions.map((action) => [action.id, action]));

export function findAction(id: string): ActionDeclaration | undefined {
  return byId.get(id);
}
