import { describe, expect, it } from 'vitest';
import type { InstalledPackage } from './installed-packages.ts';
import { findWay } from './undo-change.ts';

const installed = (name: string, version: string, state = 'installed'): InstalledPackage => ({
  dpkgName: name,
  name,
  architecture: 'all',
  version,
  isHeld: false,
  state,
  needsReinstall: false,
  isEssential: false,
  installedKibibytes: 1,
});
const recorded = (name: string, before: [string, string] | null, file: string | null = null) => ({
  name,
  architecture: 'all',
  before: before === null ? null : { version: before[0], state: before[1] },
  to: '2',
  file,
});
const names = (entries: readonly InstalledPackage[]) => entries.map(({ name }) => name);

describe('the way back', () => {
  it('purges what is new, removes what was removed before, and puts kept versions back', () => {
    const way = findWay(
      [
        recorded('new', null),
        recorded('gone-before', ['1', 'config-files']),
        recorded('older', ['1', 'installed'], 'older.deb'),
      ],
      [
        installed('new', '2', 'half-configured'),
        installed('gone-before', '2'),
        installed('older', '2'),
      ],
      '/backups',
    );
    expect(names(way.purge)).toEqual(['new']);
    expect(names(way.remove)).toEqual(['gone-before']);
    expect(way.put.map(({ path }) => path)).toEqual(['/backups/older.deb']);
  });

  it('is nothing for what was never reached', () => {
    const way = findWay(
      [recorded('new', null), recorded('older', ['1', 'installed'], 'older.deb')],
      [installed('older', '1')],
      '/backups',
    );
    expect(way).toEqual({ put: [], purge: [], remove: [] });
  });

  it('is refused for what has meanwhile become something else', () => {
    const find = (entries: InstalledPackage[], before: [string, string] | null) => () =>
      findWay([recorded('a', before, 'a.deb')], entries, '/backups');
    expect(find([installed('a', '3')], ['1', 'installed'])).toThrow('a is 3 now');
    expect(find([], ['1', 'installed'])).toThrow('a is gone');
    expect(find([installed('a', '3')], null)).toThrow('a is 3 now');
  });

  it('is refused where nothing was kept', () => {
    expect(() =>
      findWay([recorded('a', ['1', 'installed'])], [installed('a', '2')], '/backups'),
    ).toThrow(expect.objectContaining({ reason: 'undo_not_possible' }));
  });
});
