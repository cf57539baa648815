import { describe, expect, it } from 'vitest';
import type { TargetLayout } from '../../target/open-target.ts';
import { bootDisks } from './boot-sectors.ts';
import { regionsOf } from './saved-boot.ts';
import type { BootState } from './inspect-boot.ts';

const disk = (given: string) => ({ given, loop: given, device: { bytes: 2 ** 30 } });
const [a, b, c] = [disk('/dev/a'), disk('/dev/b'), disk('/dev/c')];
const root = { name: 'root', disks: ['/dev/a', '/dev/b', '/dev/c'] };

function layout(boot: string[] | null): TargetLayout {
  const part = { mountPoint: '/boot', volume: { name: 'boot', disks: boot } };
  return {
    ...{ disks: [a, b, c], volumes: [], system: { root }, parts: boot === null ? [] : [part] },
  } as unknown as TargetLayout;
}
const given = (disks: TargetLayout['disks']) => disks.map((one) => one.given);

describe('the disks that a system is started from', () => {
  it('are all that its /boot lies on', () => {
    expect(given(bootDisks(layout(['/dev/b'])))).toEqual(['/dev/b']);
    expect(given(bootDisks(layout(['/dev/c', '/dev/a'])))).toEqual(['/dev/a', '/dev/c']);
  });

  it('are those of its root, where /boot is a folder of it', () => {
    expect(given(bootDisks(layout(null)))).toEqual(['/dev/a', '/dev/b', '/dev/c']);
  });

  it('each have their boot sectors kept, up to where their own first partition begins', () => {
    const core = '21686148-6449-6e6f-744e-656564454649';
    const volumes = [
      { disk: '/dev/a', layers: [], startBytes: 32_256, bytes: 1, partitionType: '0xfd' },
      { disk: '/dev/b', layers: [], startBytes: 2 ** 20, bytes: 2 ** 20, partitionType: core },
      { disk: null, layers: ['RAID1 shop:0'], startBytes: 0, bytes: 1, partitionType: null },
    ];
    const state = { disks: [a, b], layout: { volumes, disks: [a, b] } } as unknown as BootState;
    expect(regionsOf(state)).toEqual([
      { disk: '/dev/a', offset: 0, bytes: 32_256 },
      { disk: '/dev/b', offset: 0, bytes: 2 ** 20 },
      { disk: '/dev/b', offset: 2 ** 20, bytes: 2 ** 20 },
    ]);
  });
});
