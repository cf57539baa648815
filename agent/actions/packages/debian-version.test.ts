import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { compareVersions, fulfils } from './debian-version.ts';
import { lackingIn, readRecord, unfinishedIn } from './dpkg-record.ts';

const VERSIONS = [
  ...['1.0', '1.0-1', '1.0-10', '1.0-9', '1:0.5', '1.0~rc1-1', '1.0~rc1~a-1', '1.0+b1', '1.0a'],
  ...['2.36-9+deb12u10', '2.36-9+deb12u9', '0', '1.0.0', '1.00', '1.0-1~bpo1', '6.1.0-9-x', ''],
];

describe('versions of packages', () => {
  it('are ordered as dpkg orders them', () => {
    for (const one of VERSIONS.filter(Boolean)) {
      for (const other of VERSIONS.filter(Boolean)) {
        const dpkg = (relation: string) =>
          spawnSync('dpkg', ['--compare-versions', one, relation, other]).status === 0;
        expect([one, other, Math.sign(compareVersions(one, other))]).toEqual([
          one,
          other,
          dpkg('lt') ? -1 : dpkg('gt') ? 1 : 0,
        ]);
      }
    }
    expect(fulfils('1.0-1', '>>', '1.0')).toBe(true);
    expect(fulfils('1.0', '=', '1.0-1')).toBe(false);
  });
});

describe("dpkg's record", () => {
  const entry = (name: string, more: string, state = 'installed') =>
    `Package: ${name}\nStatus: install ok ${state}\nArchitecture: amd64\nVersion: 1.2-3\n${more}\n`;
  const lacking = (...entries: string[]) =>
    lackingIn(readRecord(entries.join('\n'))).map(({ name, by }) => `${by} needs ${name}`);

  it('is read in no time that grows faster than it does, whatever packages say they provide', () => {
    const provides = `Provides: ${'a,'.repeat(8_000)}`;
    const many = Array.from({ length: 20 }, (_, n) => entry(`shop${n}`, provides));
    expect(lacking(...many, entry('one', 'Depends: a, two'))).toEqual(['one needs two']);
  });

  it('tells what packages need and do not have', () => {
    expect(
      lacking(
        entry('one', 'Depends: two (>= 1.2), three | four:any, five\nPre-Depends: six (<< 1.2)'),
        entry('two', 'Provides: five'),
        entry('four', ''),
        entry('six', ''),
      ),
    ).toEqual(['one needs six']);
    expect(lacking(entry('one', 'Depends: two'), entry('two', '', 'config-files'))).toEqual([
      'one needs two',
    ]);
    expect(lacking(entry('gone', 'Depends: two', 'config-files'))).toEqual([]);
    expect(
      lacking(entry('one', 'Depends: virtual (>= 1)'), entry('two', 'Provides: virtual')),
    ).toEqual(['one needs virtual']);
    expect(
      lacking(entry('one', 'Depends: virtual (>= 1)'), entry('two', 'Provides: virtual (= 1.5)')),
    ).toEqual([]);
  });

  it('tells what is unfinished, and passes over what is no package', () => {
    const text = [entry('one', '', 'half-configured'), 'no: package\n', entry('two', '')].join(
      '\n',
    );
    expect(unfinishedIn(readRecord(text)).map(({ name }) => name)).toEqual(['one']);
    expect(readRecord('')).toEqual([]);
  });
});
