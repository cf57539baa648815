import { faillock } from './accounts/faillock.ts';
import { loginAccounts } from './accounts/login-accounts.ts';
import { pam } from './accounts/pam.ts';
import { securityLabels } from './accounts/security-labels.ts';
import { sudoers } from './accounts/sudoers.ts';
import { systemModes } from './accounts/system-modes.ts';
import { bootChain } from './boot/boot-chain.ts';
import { pendingReboot } from './boot/pending-reboot.ts';
import { fstab } from './filesystems/fstab.ts';
import { filesystemSpace } from './filesystems/space.ts';
import { writeState } from './filesystems/write-state.ts';
import {
  bannedClients,
  firewalldZones,
  firewallFile,
  hostsDeny,
  ufwRules,
} from './firewall/firewall-files.ts';
import { managementPath } from './firewall/management-path.ts';
import { diskHealth } from './hardware/disk-health.ts';
import { kernelLog } from './hardware/kernel-log.ts';
import { memoryErrors } from './hardware/memory-errors.ts';
import { raid } from './hardware/raid.ts';
import { bootErrors } from './log/boot-errors.ts';
import { bootLoop } from './log/boot-loop.ts';
import { diskFacts, machineFacts } from './machine-facts.ts';
import { addresses } from './network/addresses.ts';
import { networkFiles } from './network/network-files.ts';
import { nameServers } from './network/name-servers.ts';
import { aptSources, dependencies, dpkgState } from './packages/dpkg-state.ts';
import { daemonFolders } from './packages/daemon-folders.ts';
import { programLoader } from './packages/program-loader.ts';
import { rpmDatabase } from './packages/rpm-database.ts';
import { rpmPackages } from './packages/rpm-packages.ts';
import type { Probe } from './probe.ts';
import { configurations } from './services/configurations.ts';
import { defaultTarget } from './services/default-target.ts';
import { unitFiles } from './services/unit-files.ts';
import { failedUnits, maskedUnits } from './services/unit-state.ts';
import { sshAccess } from './ssh/ssh-access.ts';
import { sshService } from './ssh/ssh-service.ts';
import { sshdConfig } from './ssh/sshd-config.ts';
import { clock } from './time/clock.ts';

/** Every probe. Those that start programs come first, so that the others fill the time they take. */
export const probes: readonly Probe[] = [
  sshdConfig,
  bootErrors,
  bootLoop,
  dpkgState,
  rpmDatabase,
  rpmPackages,
  configurations,
  sudoers,
  loginAccounts,
  firewallFile,
  machineFacts,
  memoryErrors,
  raid,
  nameServers,
  aptSources,
  dependencies,
  programLoader,
  daemonFolders,
  pam,
  faillock,
  systemModes,
  securityLabels,
  defaultTarget,
  maskedUnits,
  unitFiles,
  pendingReboot,
  clock,
  filesystemSpace,
  writeState,
  fstab,
  bootChain,
  diskFacts,
  kernelLog,
  failedUnits,
  addresses,
  sshService,
  sshAccess,
  managementPath,
  ufwRules,
  firewalldZones,
  networkFiles,
  hostsDeny,
  bannedClients,
  diskHealth,
];
