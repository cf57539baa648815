import { describe, expect, it } from 'vitest';
import { readVolumeGroups } from './volume-groups.ts';

const GROUP = 'R2Pi7J-ZM5H-yqHR-rBWn-crAr-j0GK-6DEt74';
const ROOT = 'HnoVAa-Ex4K-wNhB-mB79-UKXy-fCmD-2QkFBg';
const STRIPED = 'KGiHOV-yZs8-QqJ3-SJGp-nFWA-riNa-lderco';

const disk = (name: string, minor: string, missing = '') => ({
  ...{ pv_name: name, pv_uuid: 'x', pv_major: '7', pv_minor: minor },
  ...{ pe_start: '2048', pv_missing: missing },
});
const segment = (uuid: string, start: string, size: string, devices: string, stripes = '1') => ({
  ...{ lv_uuid: uuid, segtype: stripes === '1' ? 'linear' : 'striped', seg_start: start },
  ...{ seg_size: size, stripes, stripe_size: stripes === '1' ? '0' : '128', devices },
});

/** What lvm 2.03.16 reports of a group on two disks; `two` is how it names the second. */
const report = (two = '/dev/loop3', missing = '') => ({
  vg: [
    {
      ...{ vg_uuid: GROUP, vg_name: 'vg0', vg_extent_size: '8192' },
      vg_missing_pv_count: missing === '' ? '0' : '1',
    },
  ],
  pv: [disk('/dev/loop2', '2'), disk(two, missing === '' ? '3' : '-1', missing)],
  lv: [
    {
      ...{ lv_uuid: ROOT, lv_name: 'root', lv_size: '147456' },
      ...{ lv_role: 'public', lv_layout: 'linear' },
    },
    {
      ...{ lv_uuid: STRIPED, lv_name: 'striped', lv_size: '32768' },
      ...{ lv_role: 'public', lv_layout: 'striped' },
    },
  ],
  pvseg: [{ pvseg_start: '0' }],
  seg: [
    segment(ROOT, '0', '81920', '/dev/loop2(0)'),
    segment(ROOT, '81920', '65536', `${two}(2)`),
    segment(STRIPED, '0', '32768', `/dev/loop2(10),${two}(0)`, '2'),
  ],
});
const read = (...reports: object[]) => readVolumeGroups(JSON.stringify({ report: reports }));

describe('the report of lvm', () => {
  it('gives for each volume the table that maps it', () => {
    expect(read(report())).toEqual([
      {
        name: 'vg0',
        uuid: GROUP,
        missing: 0,
        volumes: [
          {
            name: 'root',
            uuid: ROOT,
            bytes: 147_456 * 512,
            on: ['/dev/loop2', '/dev/loop3'],
            table: '0 81920 linear 7:2 2048\n81920 65536 linear 7:3 18432\n',
            problem: null,
          },
          {
            name: 'striped',
            uuid: STRIPED,
            bytes: 32_768 * 512,
            on: ['/dev/loop2', '/dev/loop3'],
            table: '0 32768 striped 2 128 7:2 83968 7:3 2048\n',
            problem: null,
          },
        ],
      },
    ]);
  });

  it('gives no table for what lies on a disk that is missing', () => {
    const [group] = read(report('[unknown]', 'missing'));
    expect(group!.missing).toBe(1);
    expect(group!.volumes.map(({ table, problem }) => [table, problem])).toEqual([
      [null, 'a disk that it lies on is not there'],
      [null, 'a disk that it lies on is not there'],
    ]);
  });

  it.each([
    ['lv_role', 'public,origin,thickorigin', /^it has snapshots, .* \(public,origin,thickorigin\)/],
    ['segtype', 'thin', /^it is no plain volume, .* not opened here \(linear\)/],
  ])('gives no table for what a plain mapping would damage (%s %s)', (field, value, why) => {
    const one = report();
    Object.assign(field === 'segtype' ? one.seg[0]! : one.lv[0]!, { [field]: value });
    const [root] = read(one)[0]!.volumes;
    expect(root).toMatchObject({ table: null, problem: expect.stringMatching(why) as string });
  });

  it('leaves out disks that belong to no group', () => {
    const free = { ...report(), vg: [{ ...report().vg[0]!, vg_name: '' }], lv: [], seg: [] };
    expect(read(free, report()).map(({ name }) => name)).toEqual(['vg0']);
    expect(read()).toEqual([]);
  });

  it.each<[string, (one: ReturnType<typeof report>) => void]>([
    ['a name that leaves its folder', (one) => (one.lv[0]!.lv_name = '../../sda')],
    ['a size beyond all disks', (one) => (one.lv[0]!.lv_size = '9'.repeat(20))],
    ['a place that is no number', (one) => (one.pv[0]!.pe_start = '2048; x')],
  ])('is refused where it has %s', (_, change) => {
    const one = report();
    change(one);
    expect(() => read(one)).toThrow();
  });
});
