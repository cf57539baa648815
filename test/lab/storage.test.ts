import { beforeAll, describe, expect, it } from 'vitest';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import type { Told } from './agent-guest/agent-guest.ts';
import { KEY, ROOT_ID, WRONG_KEY } from './storage-guest/storage-facts.ts';
import { runStorageGuest } from './storage-guest/storage-guest.ts';

/** A whole machine is emulated, and every job in it takes its time. */
const WITHIN_MS = 80 * 60_000;
const SYSTEM = 'logical volume shop/root (LVM on LUKS on RAID1 shop:0)';
const RAID = 'RAID1 shop:0';

/** Counted and told as skipped where not everything is asked for: it takes minutes. */
const everything = process.env.INTERVENE_TEST_ALL === '1';

describe.runIf(everything)('a system whose root lies on LVM on LUKS on RAID', () => {
  let told: Told[];
  beforeAll(async () => {
    told = await runStorageGuest();
  }, WITHIN_MS);

  const of = (what: string) => told.find((one) => one.what === what)!;
  const rules = (what: string) =>
    (of(what)['findings'] as string[][]).map(([rule, subject]) => `${rule} ${subject}`);
  const UNTOUCHED = { unchanged: true, left: [] };

  it('stays closed without its key, and a diagnosis says so', () => {
    expect(of('a look without a key')).toMatchObject({ outcome: 'succeeded', ...UNTOUCHED });
    expect(rules('a look without a key')).toContain(`luks.no_key ${RAID}`);
  });

  it('is not opened by a wrong key, which is one exact outcome', () => {
    const look = of('a look with a wrong key');
    expect(look).toMatchObject({ outcome: 'failed', reason: 'disk_key_wrong', ...UNTOUCHED });
    expect(look['said']).toContain(`the key of the order does not open ${RAID}`);
    expect(look['said']).not.toContain(WRONG_KEY);
  });

  it('is diagnosed without a change to its disks', () => {
    expect(of('a look')).toMatchObject({
      ...{ outcome: 'succeeded', ...UNTOUCHED },
      result: { facts: { os: 'Debian GNU/Linux 12 (bookworm)', hostname: 'shop-2' } },
    });
    expect(rules('a look')).toContain(
      'fstab.missing_source UUID=99999999-2222-4333-8444-555555555502',
    );
  });

  it('is planned for, repaired and put back', () => {
    expect(of('a plan')).toMatchObject({ outcome: 'succeeded', ...UNTOUCHED });
    expect(of('a plan: its text')['plan']).toMatchObject({
      target: { offline: { disk: 'all', filesystem: ROOT_ID }, storage: SYSTEM },
    });
    expect(of('the repair')).toMatchObject({
      ...{ outcome: 'succeeded', unchanged: false, left: [] },
      result: { outcome: 'repaired', files: ['/etc/fstab'] },
    });
    expect(of('the table after the repair')['text']).toBe(
      '/dev/mapper/shop-root / ext4 defaults 0 1\n' +
        'UUID=99999999-2222-4333-8444-555555555502 /data ext4 defaults,nofail,x-systemd.device-timeout=10s 0 2\n',
    );
    expect(of('the undo')).toMatchObject({ outcome: 'succeeded', left: [] });
    expect(of('the table after the undo')).toMatchObject({ same: true });
  });

  it.each([
    ['ext4 on LVM', SYSTEM],
    ['XFS on LVM', 'logical volume shop/orders (LVM on LUKS on RAID1 shop:0)'],
    ['ext4 on LUKS', 'logical volume data/secret, decrypted (LUKS on LVM)'],
    ['Btrfs on RAID', 'RAID1 shop:books'],
  ])('has a file system repaired wherever it lies, and put back: %s', (what, storage) => {
    const one = (name: string) => of(`${what}: ${name}`);
    expect(one('the plan')).toMatchObject({ outcome: 'succeeded', ...UNTOUCHED });
    const { target, summary, steps } = one('the plan: its text')['plan'] as Plan;
    expect(target).toMatchObject({ offline: { disk: 'all' }, storage });
    expect(summary).toContain(storage);
    expect(steps.map(({ id }) => id)).toEqual(['save', 'repair', 'verify']);
    expect(one('the repair')).toMatchObject({
      ...{ outcome: 'succeeded', unchanged: false, left: [], result: { outcome: 'corrected' } },
    });
    expect(one('after the repair')).toMatchObject({ kept: 'as it was\n' });
    expect(one('the undo')).toMatchObject({ left: [], result: { outcome: 'restored' } });
    expect(one('after the undo')).toMatchObject({ same: true });
  });

  it('that a killed job had open is taken apart by the next agent', () => {
    const names = expect.arrayContaining([
      expect.stringMatching(/^md\d+$/),
      expect.stringMatching(/^dm-\d+$/),
    ]) as string[];
    expect(of('after the kill')['left']).toEqual(names);
    expect(of('after the next agent')).toMatchObject({ outcome: 'interrupted', left: [] });
  });

  it('is read and not written while a disk of its RAID is missing', () => {
    const look = of('a look with a disk missing');
    expect(look).toMatchObject({ outcome: 'succeeded', ...UNTOUCHED });
    expect(look['findings']).toContainEqual(['raid.degraded', RAID, null]);
    expect(rules('a look with a disk missing').join()).toContain('fstab.missing_source');
    const checked = of('a check with a disk missing');
    expect(checked).toMatchObject({ ...UNTOUCHED, result: { outcome: 'clean' } });
    for (const what of [
      ...['a plan with a disk missing', 'a repair with a disk missing'],
      "a file system's plan with a disk missing",
    ]) {
      expect(of(what)).toMatchObject({
        ...{ outcome: 'failed', reason: 'array_degraded', ...UNTOUCHED },
      });
    }
  });

  it('lies beside a group of LVM that lacks a disk, which is a finding', () => {
    const findings = of('a look at one disk of a group')['findings'];
    expect(findings).toContainEqual(['lvm.partial', 'volume group data', null]);
    expect(rules('a look').join()).not.toContain('lvm.partial');
  });

  it('leaves its key in no file, no argument and no environment', () => {
    expect(KEY).not.toBe('');
    expect(of('the key')).toMatchObject({ in: [] });
    expect(of('the key')['calls']).toBeGreaterThan(3);
  });
});
