import { afterAll, beforeAll, expect, it } from 'vitest';
import { bootsToLogin, FaultDisk } from '../lab/index.ts';
import { Stack } from '../harness/stack.ts';

let stack: Stack;
let disk: FaultDisk;
beforeAll(async () => {
  disk = await FaultDisk.copy('bios-gpt');
  stack = await Stack.start();
  await stack.authorize('*');
});
afterAll(async () => {
  await stack?.close();
  disk?.close();
});

const rulesOf = async () => {
  const { result } = await stack.json<{
    result: { findings: { rule: string; severity: string }[] };
  }>('lead', 'diagnose', 'web-04', '--disk', disk.image);
  return result.findings.filter(({ severity }) => severity === 'critical').map(({ rule }) => rule);
};

it('repairs a server that does not boot with what its diagnosis suggests, in one go', async () => {
  await disk.writeBytes(0, Buffer.alloc(440));
  await disk.inside(async (system) => {
    system.edit('etc/fstab', (text) => `${text}UUID=dead-beef /data ext4 defaults 0 2\n`);
    system.edit('etc/ssh/sshd_config', (text) => `PermitRootLogn yes\n${text}`);
  });
  const broken = ['boot.no_mbr_code', 'fstab.missing_source', 'ssh.config_bad'];
  expect((await rulesOf()).toSorted()).toEqual(broken);

  const planned = await stack.json<{
    repairs: { action: string; plan: { steps: number } | null }[];
  }>('lead', 'plan', 'web-04', '--from-findings', '--disk', disk.image);
  expect(planned.repairs.map(({ action }) => action)).toEqual([
    'boot.repair-fstab',
    'access.restore-ssh',
    'bootloader.repair',
  ]);
  expect(planned.repairs.every(({ plan }) => (plan?.steps ?? 0) > 0)).toBe(true);
  expect((await rulesOf()).toSorted()).toEqual(broken);

  const words = ['--from-findings', '--disk', disk.image, '--yes', '--accept-class-c'];
  await stack.ok('lead', 'run', 'web-04', ...words);
  expect(await rulesOf()).toEqual([]);
  // Throws unless the repaired disk itself comes to a login.
  await bootsToLogin(disk.image, 'bios');
});
