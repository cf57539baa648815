import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import type { RpmSpec } from './testing/build-rpms.ts';
import { RpmWorld, type Acted } from './testing/rpm-world.ts';

// Real dnf, zypper and rpm, on a record of rpm and with a repository of the test's own. zypper's part and what is
// slow run with `scripts/test --all`.

// dnf takes seconds for each look, and longer where others work.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const INSTALL = 'packages.install';
const BASE: RpmSpec = { name: 'base', version: '1', head: ['Provides: /bin/sh'] };
const alpha = (version: string, ...head: string[]): RpmSpec => ({
  name: 'alpha',
  version,
  head,
  files: { '/usr/share/alpha/data': `data ${version}\n` },
  config: { '/etc/alpha.conf': `greeting=${version}\n` },
});
/** Of version 2 every program fails once its files have come or gone. */
const careless = (version: string): RpmSpec => ({
  name: 'careless',
  version,
  scripts: version === '1.0' ? {} : { post: 'exit 1', postun: 'exit 7', posttrans: 'exit 5' },
});
/** Version 2 and what it brings need each other: neither goes before the other. */
const NEWER = [
  alpha('2.0', 'Requires: alpha-extra'),
  { name: 'alpha-extra', version: '1.0', head: ['Requires: alpha = 2.0'] },
];

async function planned(world: RpmWorld, packages: string[], more = {}) {
  const done = await world.plan(INSTALL, { packages, ...more });
  if (done.plan === undefined) throw new Error(done.refused!.message);
  return done.plan;
}

async function installed(world: RpmWorld, ...packages: string[]): Promise<Acted> {
  const done = await world.apply(INSTALL, { packages }, await planned(world, packages));
  expect(done.end, JSON.stringify(done)).toMatchObject({ succeeded: true });
  return done;
}

describe.each(['dnf', ...(isWhole ? ['zypper'] : [])] as ('dnf' | 'zypper')[])(
  'an upgrade with %s',
  (program) => {
    let world: RpmWorld;
    beforeAll(async () => {
      world = await RpmWorld.start(program);
      await world.publish(BASE, alpha('1.0'), ...NEWER, careless('1.0'), careless('2.0'));
      await world.sh(
        `cd ${world.repository}; rpm --install base-1-1.noarch.rpm alpha-1.0-1.noarch.rpm careless-1.0-1.noarch.rpm`,
      );
      await world.write('/etc/alpha.conf', 'greeting=mine\n');
    });
    afterAll(() => world?.close());

    it('that brings another package in is planned without changing anything, installed as planned, and gone again after the undo', async () => {
      const before = await world.installed();
      const plan = await planned(world, ['alpha']);
      expect(await world.installed()).toEqual(before);
      expect(await world.sh('ls /var/tmp')).toBe('');
      expect(plan.target['packages']).toMatchObject([
        { name: 'alpha', from: '1.0-1', to: '2.0-1' },
        { name: 'alpha-extra', from: null, to: '1.0-1' },
      ]);
      expect(plan.findings.join('\n')).toContain('/etc/alpha.conf was changed on this server');
      expect(plan.steps.map(({ undo }) => undo.possible)).toEqual([true, true, true, true]);

      const done = await world.apply(INSTALL, { packages: ['alpha'] }, plan);
      expect(done.end, JSON.stringify(done)).toMatchObject({
        succeeded: true,
        result: { outcome: 'installed', audit: '', keptConffiles: ['/etc/alpha.conf'] },
      });
      expect(done.progress.join('\n')).toMatch(/installing \d+ \w+:? alpha-2\.0/);
      expect(await world.read('/usr/share/alpha/data')).toBe('data 2.0\n');
      expect(await world.read('/etc/alpha.conf')).toBe('greeting=mine\n');

      const undone = await world.undo(INSTALL, done.job);
      expect(undone.end, JSON.stringify(undone)).toMatchObject({
        succeeded: true,
        result: { outcome: 'restored' },
      });
      expect(await world.installed()).toEqual(before);
      expect(await world.read('/usr/share/alpha/data')).toBe('data 1.0\n');
      expect(await world.read('/etc/alpha.conf')).toBe('greeting=mine\n');
      expect(await world.sh('ls /var/tmp')).toBe('');
    });

    it('ends as incomplete where programs of packages fail after which rpm goes on, and so does its undo', async () => {
      const before = await world.installed();
      const plan = await planned(world, ['careless']);
      const done = await world.apply(INSTALL, { packages: ['careless'] }, plan);
      expect(done.end, JSON.stringify(done)).toMatchObject({
        succeeded: false,
        reason: 'maintainer_script_failed',
        result: { outcome: 'incomplete', packages: [{ after: '2.0-1', state: 'installed' }] },
      });
      expect(done.end!.result.detail).toContain('%post(careless-2.0-1.noarch) scriptlet failed');
      const undone = await world.undo(INSTALL, done.job);
      expect(undone.end, JSON.stringify(undone)).toMatchObject({
        succeeded: false,
        reason: 'undo_incomplete',
        result: { outcome: 'incomplete', packages: [{ after: '1.0-1', state: 'installed' }] },
      });
      expect(undone.end!.result.detail).toContain(
        '%postun(careless-2.0-1.noarch) scriptlet failed',
      );
      expect(await world.installed()).toEqual(before);
    });
  },
);

describe.runIf(isWhole).each(['dnf', 'zypper'] as const)(
  'a change of packages with %s',
  (program) => {
    let world: RpmWorld;
    beforeAll(async () => {
      world = await RpmWorld.start(program);
      const service = (version: string): RpmSpec => ({
        name: 'daemon',
        version,
        files: { '/usr/lib/systemd/system/daemon.service': '[Service]\n' },
        scripts: { postun: 'systemctl try-restart daemon.service || :' },
      });
      await world.publish(
        BASE,
        alpha('1.0'),
        ...NEWER,
        { name: 'rival', version: '1.0' },
        { name: 'replacer', version: '1.0', head: ['Obsoletes: rival < 2'] },
        { name: 'needy', version: '1.0', head: ['Requires: nowhere'] },
        { name: 'failing', version: '1.0', scripts: { pre: 'exit 3' } },
        { name: 'late', version: '1.0', head: ['Requires: alpha-extra'] },
        { name: 'plain', version: '1.0', plainConfig: { '/etc/plain.conf': 'a\n' } },
        { name: 'plain', version: '2.0', plainConfig: { '/etc/plain.conf': 'b\n' } },
        { name: 'old', version: '1.0' },
        { name: 'old', version: '2.0' },
        service('1.0'),
        service('2.0'),
        { name: 'slow', version: '1.0', files: { '/usr/share/slow': '1\n' } },
        {
          name: 'slow',
          version: '2.0',
          files: { '/usr/share/slow': '2\n' },
          scripts: { post: 'touch /var/slow; sleep 600' },
        },
      );
      const at = (file: string) => `${world.repository}/${file}-1.noarch.rpm`;
      const there = [
        'base-1',
        'alpha-1.0',
        'rival-1.0',
        'plain-1.0',
        'old-1.0',
        'daemon-1.0',
        'slow-1.0',
      ];
      await world.sh(`rpm --install ${there.map(at).join(' ')}`);
      await world.withdraw('old-1.0-1.noarch.rpm');
    });
    afterAll(() => world?.close());

    it.each([
      ['would_remove', 'rival', { packages: ['replacer'] }],
      ['dependencies_unmet', 'nowhere', { packages: ['needy'] }],
      ['package_not_found', 'nosuch', { packages: ['nosuch'] }],
      ['package_not_found', 'alpha-2.0', { packages: ['alpha-2.0'] }],
      ['hold_not_possible', 'daemon', { packages: ['daemon'], holdServices: ['daemon'] }],
    ])('is refused as %s, with what it is about', async (reason, said, parameters) => {
      const before = await world.installed();
      const { refused } = await world.plan(INSTALL, parameters);
      expect(refused).toMatchObject({ reason });
      expect(refused!.message).toContain(said);
      expect(await world.installed()).toEqual(before);
    });

    it('is refused where a file of the client would be moved aside', async () => {
      await world.write('/etc/plain.conf', 'mine\n');
      const { refused } = await world.plan(INSTALL, { packages: ['plain'] });
      expect(refused).toMatchObject({ reason: 'would_replace_config' });
      expect(refused!.message).toContain('/etc/plain.conf');
    });

    it('says which services it may restart, and when a version cannot come back', async () => {
      const daemon = await planned(world, ['daemon'], { holdServices: ['other'] });
      expect(daemon.findings).toEqual(
        expect.arrayContaining([
          expect.stringContaining('daemon.service may be started, stopped or restarted'),
          expect.stringContaining('other is named by no program'),
        ]),
      );
      const old = await planned(world, ['old']);
      expect(old.target['withoutUndo']).toEqual(['old-1.0-1.noarch']);
      const step = old.steps.find(({ id }) => id === 'install')!;
      expect(step.undo).toMatchObject({ possible: false });
      const done = await installed(world, 'old');
      const undone = await world.undo(INSTALL, done.job);
      expect(undone.refused).toMatchObject({ reason: 'undo_not_possible' });
      expect(await world.installed()).toContain('old-2.0-1.noarch');
    });

    it('needs nothing once all is there, and takes an exact version', async () => {
      const plan = await planned(world, ['alpha=1.0-1']);
      expect(plan.steps).toEqual([]);
      const done = await world.apply(INSTALL, { packages: ['alpha=1.0-1'] }, plan);
      expect(done.end).toMatchObject({ succeeded: true, result: { outcome: 'nothing_to_do' } });
    });

    it('ends as incomplete where a program of a package fails, and can be undone', async () => {
      const plan = await planned(world, ['failing']);
      const done = await world.apply(INSTALL, { packages: ['failing'] }, plan);
      expect(done.end).toMatchObject({
        succeeded: false,
        reason: 'maintainer_script_failed',
        result: { outcome: 'incomplete' },
      });
      expect((await world.undo(INSTALL, done.job)).end).toMatchObject({ succeeded: true });
    });

    it('is refused when anything has changed since it was planned', async () => {
      const plan = await planned(world, ['alpha']);
      await world.sh('rpm --erase rival');
      const done = await world.apply(INSTALL, { packages: ['alpha'] }, plan);
      expect(done.refused).toMatchObject({ reason: 'changed_since_plan' });
      expect(await world.installed()).toContain('alpha-1.0-1.noarch');
    });

    it('is not undone where a package that came later would lack what it needs', async () => {
      const done = await installed(world, 'alpha');
      const later = await installed(world, 'late');
      const before = await world.installed();
      const { refused } = await world.undo(INSTALL, done.job);
      expect(refused).toMatchObject({ reason: 'undo_not_possible' });
      expect(refused!.message).toContain('late');
      expect(await world.installed()).toEqual(before);
      expect((await world.undo(INSTALL, later.job)).end).toMatchObject({ succeeded: true });
      expect((await world.undo(INSTALL, done.job)).end).toMatchObject({ succeeded: true });
      expect(await world.installed()).toContain('alpha-1.0-1.noarch');
    });

    it('that was killed between two versions is undone', async () => {
      const before = await world.installed();
      const plan = await planned(world, ['slow']);
      const job = await world.applyUntil('/var/slow', INSTALL, { packages: ['slow'] }, plan);
      expect(await world.installed()).toEqual(
        expect.arrayContaining(['slow-1.0-1.noarch', 'slow-2.0-1.noarch']),
      );
      const undone = await world.undo(INSTALL, job);
      expect(undone.end, JSON.stringify(undone)).toMatchObject({ succeeded: true });
      expect(await world.installed()).toEqual(before);
      expect(await world.read('/usr/share/slow')).toBe('1\n');
    });
  },
);
