import assert from 'node:assert/strict';
import type { Fault } from './fault.ts';

const KERNEL_LOG_TEST = 'agent/actions/diagnostics/hardware/hardware.test.ts';

export const diagnosisFaults: readonly Fault[] = [
  {
    id: 'D01',
    title: 'memory ran out',
    proof: 'recorded',
    test: KERNEL_LOG_TEST,
    why: 'a kernel has to run out of memory, and only the running one tells',
  },
  {
    id: 'D02',
    title: 'the kernel panicked or hung',
    proof: 'recorded',
    test: KERNEL_LOG_TEST,
    why: 'a kernel has to hang, and only the running one tells',
  },
  {
    id: 'D03',
    title: 'the system boots over and over',
    proof: 'recorded',
    test: 'agent/actions/diagnostics/log/boot-loop.test.ts',
    why: 'the disks of the laboratory keep no journal over their boots',
  },
  {
    id: 'D04',
    title: 'only root may enter the root folder',
    proof: 'repair',
    disk: 'bios-gpt',
    finding: 'sys.modes',
    action: 'access.restore-ssh',
    undo: 'files',
    inject: (disk) =>
      disk.inside(async (system) => void (await system.ok(['chmod', '700', '/', '/etc']))),
    check: (disk) =>
      disk.look(async (system) => {
        assert.equal(await system.ok(['stat', '-c', '%a', '/', '/etc']), '755\n755\n');
      }),
  },
  {
    id: 'D05',
    title: 'files have no label of SELinux',
    proof: 'recorded',
    test: 'agent/actions/diagnostics/accounts/security-labels.test.ts',
    why: 'no system here uses SELinux; the labels themselves are set and read for real',
  },
];
