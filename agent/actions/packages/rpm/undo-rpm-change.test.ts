import { describe, expect, it } from 'vitest';
import { lackingLines } from './record-copy.ts';
import { findRpmWay } from './undo-rpm-change.ts';

const there = (name: string, evr: string, architecture = 'noarch') => ({ name, architecture, evr });
const fresh = (name: string, before: string[] = []) => ({
  name,
  architecture: 'noarch',
  before,
  replaces: null,
  to: '2-1',
  file: null,
});
const upgraded = (name: string, file: string | null = `${name}-1.rpm`) => ({
  ...fresh(name, ['1-1']),
  replaces: { evr: '1-1', architecture: 'noarch' },
  file,
});

describe('the way back with rpm', () => {
  it('takes away what is new and puts kept versions back', () => {
    const way = findRpmWay(
      [fresh('new'), upgraded('older')],
      [there('new', '2-1'), there('older', '2-1')],
      '/backups',
    );
    expect(way).toEqual({
      put: [{ path: '/backups/older-1.rpm', entry: there('older', '1-1') }],
      erase: [there('new', '2-1')],
    });
  });

  it('is nothing for what was never reached', () => {
    const way = findRpmWay([fresh('new'), upgraded('older')], [there('older', '1-1')], '/backups');
    expect(way).toEqual({ put: [], erase: [] });
  });

  it('also leads from where both versions are there, as after a change that was cut off', () => {
    const installed = [there('older', '1-1'), there('older', '2-1')];
    expect(findRpmWay([upgraded('older')], installed, '/b').put).toHaveLength(1);
  });

  it('leaves kernels alone that were there beside the new one', () => {
    const installed = [there('kernel', '1-1'), there('kernel', '2-1')];
    const way = findRpmWay([fresh('kernel', ['1-1'])], installed, '/b');
    expect(way).toEqual({ put: [], erase: [there('kernel', '2-1')] });
  });

  it('is refused for what has meanwhile become something else', () => {
    const find = (entries: Parameters<typeof findRpmWay>[1]) => () =>
      findRpmWay([upgraded('a')], entries, '/b');
    expect(find([there('a', '3-1')])).toThrow('a is 3-1 now');
    expect(find([])).toThrow('a is gone');
    expect(() => findRpmWay([fresh('a')], [there('a', '3-1')], '/b')).toThrow(
      expect.objectContaining({ reason: 'changed_since' }),
    );
  });

  it('is refused where nothing was kept', () => {
    expect(() => findRpmWay([upgraded('a', null)], [there('a', '2-1')], '/b')).toThrow(
      expect.objectContaining({ reason: 'undo_not_possible' }),
    );
  });
});

it('what packages lack is read as rpm 4.18 says it (`rpm --verify --all --nofiles`)', () => {
  const out =
    'Unsatisfied dependencies for alpha-2.0-1.noarch:\n\talpha-extra is needed by (installed) alpha-2.0-1.noarch\n';
  expect(lackingLines(out)).toEqual(['alpha-extra is needed by (installed) alpha-2.0-1.noarch']);
  expect(lackingLines('')).toEqual([]);
});
