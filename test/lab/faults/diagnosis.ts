import assert from 'node:assert/strict';
import type { Fault } from './fault.ts';

const LOG_TEST = 'agent/actions/diagnostics/log/log.test.ts';

export const diagnosisFaults: readonly Fault[] = [
  { id: 'D01', title: 'memory ran out', proof: 'recorded', test: LOG_TEST },
  { id: 'D02', title: 'the kernel panicked or hung', proof: 'recorded', test: LOG_TEST },
  { id: 'D03', title: 'the system boots over and over', proof: 'recorded', test: LOG_TEST },
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
    test: 'agent/actions/access/relabel.test.ts',
  },
];
