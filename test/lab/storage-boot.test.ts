import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import { runAgentGuest, type Told } from './agent-guest/agent-guest.ts';
import { ROOT_ID } from './storage-guest/storage-facts.ts';
import { blank } from './storage-guest/storage-guest.ts';
import { bootsToLogin } from './virtual-machine.ts';

/** A whole machine is emulated, and every job in it takes its time. */
const WITHIN_MS = 80 * 60_000;
const BOOT_MS = 10 * 60_000;
const DISKS = ['/dev/vdb', '/dev/vdc'];

/** Counted and told as skipped where not everything is asked for: it takes minutes. */
const everything = process.env.INTERVENE_TEST_ALL === '1';

describe.runIf(everything)('a system with its root on LVM on RAID1 and its /boot on RAID1', () => {
  let folder: string;
  let told: Told[];
  let images: string[];
  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'iv-raid-'));
    images = [1300, 1300].map((mebibytes, at) => blank(folder, at, mebibytes));
    told = await runAgentGuest({
      program: 'test/lab/storage-guest/inside-boot.ts',
      firmware: 'bios',
      modules: ['loop', 'dm_mod', 'raid1'],
      disks: images,
      withinMs: WITHIN_MS - 5 * 60_000,
    });
  }, WITHIN_MS);
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  const of = (what: string) => told.find((one) => one.what === what)!;
  interface BootState {
    code: string[];
    core: string[];
    files: string;
    menu: string;
  }
  const boot = (what: string) => of(what)['boot'] as BootState;

  it('is found not to start from either disk', () => {
    const rules = (of('a look')['findings'] as string[][]).map(([rule, on]) => `${rule} ${on}`);
    for (const disk of DISKS) expect(rules).toContain(`boot.no_mbr_code ${disk}`);
  });

  it('is planned for: boot code on every disk of the RAID, and a menu for its root', () => {
    const { target, steps } = of('the plan: its text')['plan'] as Plan;
    expect(target).toMatchObject({
      storage: 'logical volume shop/root (LVM on RAID1 shop:pv)',
    });
    expect(steps.map(({ id }) => id)).toEqual(['save', 'loader', 'config', 'verify']);
    const commands = steps[1]!.changes.map((change) => change.type === 'command' && change.argv);
    expect(commands.map((argv) => argv && [argv[0], argv.at(-1)])).toEqual(
      DISKS.map((disk) => ['grub-install', disk]),
    );
  });

  it('is repaired, once', () => {
    expect(of('the repair')).toMatchObject({
      ...{ outcome: 'succeeded', left: [], result: { outcome: 'repaired' } },
    });
    const { code, core, menu } = boot('after the repair');
    const before = boot('before');
    for (const at of DISKS.keys()) {
      expect(code[at]).not.toBe(before.code[at]);
      expect(core[at]).not.toBe(before.core[at]);
    }
    expect(menu).toContain(`root=UUID=${ROOT_ID}`);
    expect(menu).toContain('insmod mdraid1x');
    expect((of('the plan after it: its text')['plan'] as Plan).steps).toEqual([]);
  });

  it('is put back as it was, on every disk', () => {
    expect(of('the undo')).toMatchObject({ left: [], result: { outcome: 'restored' } });
    expect(boot('after the undo')).toEqual(boot('before'));
  });

  it('is repaired again by the same plan', () => {
    expect(of('the repair again')).toMatchObject({ result: { outcome: 'repaired' }, left: [] });
  });

  it(
    'starts from its first disk',
    () => expect(bootsToLogin(images, 'bios')).resolves.toBeUndefined(),
    BOOT_MS,
  );

  it(
    'starts from its second disk when the first is gone',
    () => expect(bootsToLogin(images.slice(1), 'bios')).resolves.toBeUndefined(),
    BOOT_MS,
  );
});
