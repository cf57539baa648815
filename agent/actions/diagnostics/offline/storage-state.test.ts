import { expect, it } from 'vitest';
import type { StorageProblem } from '../../../target/offline/stack/storage-problem.ts';
import { judgeStorage } from './storage-state.ts';

it.each<[reason: StorageProblem['reason'], advice: string]>([
  ['device_mapper_unavailable', 'modprobe dm_mod, or start the server from a rescue system'],
  ['raid_unavailable', 'modprobe md_mod, or start the server from a rescue system'],
  ['tool_missing', 'Install the program that is named'],
  ['volume_unsupported', 'with the programs of LVM on this machine'],
  ['not_opened', 'Open it by hand on this machine'],
])('what stays closed by %s is advised on by that reason', (reason, advice) => {
  const problem = { reason, subject: '/dev/sdb', why: 'why', command: 'command' };
  const [found] = judgeStorage({ problems: [problem] });
  expect(found).toMatchObject({ rule: 'disk.not_opened', suggestion: null });
  expect(found!.byHand).toContain(advice);
});
