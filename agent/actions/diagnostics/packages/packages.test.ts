import { rm } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { names, ProbeFixture } from '../testing/probe-fixture.ts';
import { aptSources, dependencies, dpkgState } from './dpkg-state.ts';

let system: ProbeFixture;
const STATUS = 'var/lib/dpkg/status';
const entry = (name: string, state: string) =>
  [
    `Package: ${name}`,
    `Status: install ok ${state}`,
    'Architecture: all',
    'Version: 1.0',
    'Maintainer: N <n@example.net>',
    'Description: test',
    '',
  ].join('\n');

beforeEach(async () => {
  system = await ProbeFixture.create();
  await system.write(STATUS, entry('good', 'installed'));
  await system.write('var/lib/dpkg/info/good.list', '/.\n');
});
afterEach(() => system.close());

describe('packages, as the real dpkg sees them', () => {
  it('are well', async () => {
    expect(await system.look(dpkgState)).toEqual([]);
  });

  it.each(['half-configured', 'half-installed', 'unpacked'])('are %s', async (state) => {
    await system.write(STATUS, [entry('good', 'installed'), entry('broken', state)].join('\n'));
    const [found] = await system.look(dpkgState);
    expect(found).toMatchObject({ rule: 'pkg.half_configured', subject: 'broken' });
    expect(found!.evidence).toMatchObject([{ text: expect.stringContaining('broken') as string }]);
  });

  it('are left in the middle of an installation', async () => {
    await system.write('var/lib/dpkg/updates/0001', entry('good', 'installed'));
    const found = await system.look(dpkgState);
    expect(names(found)).toContain('pkg.half_configured dpkg');
  });

  it('are forgotten', async () => {
    await system.write(STATUS, '');
    expect(await system.look(dpkgState)).toMatchObject([
      { rule: 'pkg.db_empty', severity: 'critical' },
    ]);
    await rm(system.path(STATUS));
    expect(names(await system.look(dpkgState))).toEqual(['pkg.db_empty /var/lib/dpkg/status']);
  });

  it('are not missed where dpkg keeps none', async () => {
    await rm(system.path('var/lib/dpkg'), { recursive: true });
    await expect(system.look(dpkgState)).rejects.toThrow('not kept by dpkg');
  });
});

describe('what packages need', () => {
  const needing = (relation: string) =>
    `${entry('needing', 'installed')}`.replace(
      '\nMaintainer',
      `\nDepends: ${relation}\nMaintainer`,
    );

  it('is not there', async () => {
    await system.write(STATUS, needing('gone'));
    expect(await system.look(dependencies)).toMatchObject([
      { rule: 'pkg.broken_dependencies', suggestion: { parameters: { packages: ['gone'] } } },
    ]);
  });

  it('is held back in a version that is of no use', async () => {
    const held = entry('good', 'installed').replace('Status: install', 'Status: hold');
    await system.write(STATUS, [held, needing('good (>= 2.0)')].join('\n'));
    const parameters = { packages: ['good'], releaseHolds: ['good'] };
    expect(await system.look(dependencies)).toMatchObject([
      { rule: 'pkg.broken_dependencies', suggestion: { parameters } },
      { rule: 'pkg.wrong_hold', subject: 'good', suggestion: { parameters } },
    ]);
    await system.write(STATUS, [held, needing('good (>= 0.5)')].join('\n'));
    expect(await system.look(dependencies)).toEqual([]);
  });
});

describe('sources of packages', () => {
  const look = async (line: string) => {
    await system.write('etc/apt/sources.list.d/x.list', `# first\n${line}\n`);
    return system.look(aptSources);
  };

  it.each([
    'deb http://mirror.example/debian bookworm main contrib',
    'deb-src [arch=amd64 signed-by=/x.gpg] https://example.net/debian bookworm main # why',
    'deb file:/srv/mirror ./',
    'deb [ arch=amd64 ] s3://bucket.example/debian bookworm main',
    'deb cdrom:[Debian GNU/Linux 12.0.0 _Bookworm_ - Official amd64 DVD #1]/ bookworm main',
    '  # deb anything',
    '',
  ])('are well: %s', async (line) => {
    expect(await look(line)).toEqual([]);
  });

  it.each([
    ['deb http://mirror.example/debian', 'no suite'],
    ['deb http://mirror.example/debian bookworm', 'no component'],
    ['debb http://mirror.example/debian bookworm main', 'begins with debb'],
    ['deb bookworm main', 'no address'],
  ])('stop apt: %s', async (line, why) => {
    const [found] = await look(line);
    expect(found).toMatchObject({ rule: 'pkg.sources', evidence: [{ line: 2, text: line }] });
    expect(found!.title).toContain(why);
  });
});
