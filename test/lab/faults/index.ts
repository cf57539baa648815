import { accountFaults } from './accounts.ts';
import { bootFaults } from './boot.ts';
import { diagnosisFaults } from './diagnosis.ts';
import type { Fault } from './fault.ts';
import { filesystemFaults } from './filesystems.ts';
import { networkFaults } from './network.ts';
import { packageFaults } from './packages.ts';
import { serviceFaults } from './services.ts';
import { sshFaults } from './ssh.ts';

/** Every fault that clients call about, by area. */
export const faults: readonly Fault[] = [
  ...accountFaults,
  ...networkFaults,
  ...sshFaults,
  ...bootFaults,
  ...filesystemFaults,
  ...serviceFaults,
  ...diagnosisFaults,
  ...packageFaults,
];
