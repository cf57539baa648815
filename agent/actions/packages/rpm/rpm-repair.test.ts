import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { alteredFiles } from './apply-rpm-repair.ts';
import { readDuplicates, wantedOf } from './rpm-faults.ts';
import { RpmWorld } from './testing/rpm-world.ts';

// What takes a while, and zypper's part, run with `scripts/test --all`.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const REPAIR = 'packages.repair';
/** Pages of its indexes, which can be made again from what the packages' own pages hold. */
const DAMAGE =
  'dd if=/dev/urandom of=/var/lib/rpm/rpmdb.sqlite bs=4k count=3 seek=2 conv=notrunc status=none';
const BEHEAD =
  'dd if=/dev/urandom of=/var/lib/rpm/rpmdb.sqlite bs=4k count=1 conv=notrunc status=none';

describe.each(['dnf', ...(isWhole ? ['zypper'] : [])] as ('dnf' | 'zypper')[])(
  'a server with rpm and %s',
  (program) => {
    let world: RpmWorld;
    const at = (name: string) => `${world.repository}/${name}-1.noarch.rpm`;
    beforeAll(async () => {
      world = await RpmWorld.start(program);
      await world.publish(
        { name: 'base', version: '1', head: ['Provides: /bin/sh'] },
        { name: 'alpha', version: '1.0', files: { '/usr/share/alpha': '1\n' } },
        {
          name: 'alpha',
          version: '2.0',
          head: ['Requires: alpha-extra >= 1'],
          files: { '/usr/share/alpha': '2\n' },
        },
        { name: 'alpha-extra', version: '1.0' },
        { name: 'kernel-core', version: '1.0', head: ['Provides: installonlypkg(kernel)'] },
        { name: 'kernel-core', version: '2.0', head: ['Provides: installonlypkg(kernel)'] },
        { name: 'foe', version: '1.0', head: ['Conflicts: alpha'] },
        { name: 'careless', version: '1.0', scripts: { postun: 'exit 7' } },
        { name: 'careless', version: '2.0' },
        { name: 'strict', version: '1.0', head: ['Requires: alpha = 1.0'] },
      );
      const there = ['base-1', 'alpha-2.0', 'alpha-extra-1.0', 'kernel-core-1.0'];
      await world.sh(`rpm --install ${[...there, 'kernel-core-2.0'].map(at).join(' ')}`);
    });
    afterAll(() => world?.close());

    const plan = async (parameters = {}) => {
      const done = await world.plan(REPAIR, parameters);
      if (done.plan === undefined) throw new Error(done.refused!.message);
      return done.plan;
    };
    const repaired = async (parameters = {}) => {
      const done = await world.apply(REPAIR, parameters, await plan(parameters));
      expect(done.end, JSON.stringify(done)).toMatchObject({
        succeeded: true,
        result: { outcome: 'repaired' },
      });
      expect((await plan()).steps).toEqual([]);
      return done;
    };

    it('needs no repair with two kernels, and an apply of that does nothing', async () => {
      const nothing = await plan();
      expect(nothing.summary).toContain('Nothing to do');
      const done = await world.apply(REPAIR, {}, nothing);
      expect(done.end).toMatchObject({ succeeded: true, result: { outcome: 'nothing_to_do' } });
    });

    it('whose record is damaged gets it built anew, and the damaged one is kept', async () => {
      const before = await world.installed();
      await world.sh(DAMAGE);
      const damaged = await world.read('/var/lib/rpm/rpmdb.sqlite');
      const other = await world.plan('packages.install', { packages: ['base'] });
      expect(other.refused).toMatchObject({ reason: 'record_damaged' });
      expect((await plan()).summary).toContain(`it then knows ${before.length} packages`);
      const { job } = await repaired();
      expect(await world.installed()).toEqual(before);
      expect(await world.read(`/var/lib/acts/${job}/backups/rpmdb.sqlite`)).toBe(damaged);
      expect(
        await world.sh('find /var/lib/acts /var/lib -name "rehearsal" -o -name "rpmrebuild*"'),
      ).toBe('');
    });

    it.runIf(isWhole)('whose record changed since the plan is left as it is', async () => {
      await world.sh(DAMAGE);
      const stale = await plan();
      await world.sh(DAMAGE);
      const before = await world.read('/var/lib/rpm/rpmdb.sqlite');
      const done = await world.apply(REPAIR, {}, stale);
      expect(done.refused).toMatchObject({ reason: 'changed_since_plan' });
      expect(await world.read('/var/lib/rpm/rpmdb.sqlite')).toBe(before);
      await repaired();
    });

    it.runIf(isWhole)(
      'where a change was cut off between two versions keeps the one that came last',
      async () => {
        const before = await world.installed();
        await world.sh(
          `rpm --erase --nodeps alpha; rpm --install ${at('alpha-1.0')}; rpm --install --force ${at('alpha-2.0')}`,
        );
        expect((await plan()).findings).toContain(
          'alpha-2.0-1.noarch is installed beside alpha-1.0-1.noarch',
        );
        await repaired();
        expect(await world.installed()).toEqual(before);
        expect(await world.read('/usr/share/alpha')).toBe('2\n');
      },
    );

    it.runIf(isWhole)('does not lose an older version that another package needs', async () => {
      await world.sh(
        `rpm --erase alpha; rpm --install ${at('alpha-1.0')} ${at('strict-1.0')}; rpm --install --force ${at('alpha-2.0')}`,
      );
      const before = await world.installed();
      const { refused } = await world.plan(REPAIR, {});
      expect(refused).toMatchObject({ reason: 'dependencies_unmet' });
      expect(refused!.message).toContain('strict');
      expect(await world.installed()).toEqual(before);
      await world.sh('rpm --erase strict alpha-1.0');
    });

    it.runIf(isWhole)(
      'is not called repaired where files of the version that stays are not its own',
      async () => {
        await world.sh(
          `rpm --erase alpha; rpm --install ${at('alpha-1.0')}; rpm --install --force ${at('alpha-2.0')}; echo x > /usr/share/alpha`,
        );
        const done = await world.apply(REPAIR, {}, await plan());
        expect(done.end).toMatchObject({ succeeded: false, result: { outcome: 'incomplete' } });
        expect(done.end!.result.detail).toContain('/usr/share/alpha');
        await world.sh(`rpm --upgrade --replacepkgs ${at('alpha-2.0')}`);
      },
    );

    it('leaves it to a person which of two packages goes that rule each other out', async () => {
      await world.sh(`rpm --install --nodeps ${at('foe-1.0')}`);
      const { refused } = await world.plan(REPAIR, {});
      expect(refused).toMatchObject({ reason: 'packages_conflict' });
      expect(refused!.message).toContain('alpha conflicts with (installed) foe-1.0-1.noarch');
      await world.sh('rpm --erase --nodeps alpha-extra');
      const both = await plan({ packages: ['alpha-extra'] });
      expect(both.findings).toContain(
        'left to a person: alpha conflicts with (installed) foe-1.0-1.noarch',
      );
      await world.sh(`rpm --erase foe; rpm --install ${at('alpha-extra-1.0')}`);
    });

    it.runIf(isWhole)(
      'is not called repaired where a program of the version that goes fails',
      async () => {
        await world.sh(
          `rpm --install ${at('careless-1.0')}; rpm --install --force ${at('careless-2.0')}`,
        );
        const done = await world.apply(REPAIR, {}, await plan());
        expect(done.end).toMatchObject({ succeeded: false, result: { outcome: 'incomplete' } });
        expect(done.end!.result.detail).toContain(
          '%postun(careless-1.0-1.noarch) scriptlet failed',
        );
        await world.sh('rpm --erase careless');
      },
    );

    it.runIf(isWhole)('that lacks packages gets those that the client names', async () => {
      await world.sh('rpm --erase --nodeps alpha-extra');
      const { refused } = await world.plan(REPAIR, {});
      expect(refused).toMatchObject({ reason: 'packages_not_named' });
      expect(refused!.message).toContain('alpha-extra');
      await repaired({ packages: ['alpha-extra'] });
      expect(await world.installed()).toContain('alpha-extra-1.0-1.noarch');
    });

    it.runIf(isWhole)('that lacks what no repository has is left as it is', async () => {
      await world.sh('rpm --erase --nodeps alpha-extra');
      await world.withdraw('alpha-extra-1.0-1.noarch.rpm');
      const before = await world.installed();
      const { refused } = await world.plan(REPAIR, { packages: ['alpha-extra'] });
      expect(refused?.reason).toMatch(/^(?:package_not_found|dependencies_unmet)$/);
      expect(await world.installed()).toEqual(before);
    });

    it('whose record cannot be built anew is left as it is, with what to do', async () => {
      await world.sh(BEHEAD);
      const before = await world.sh('sha256sum /var/lib/rpm/rpmdb.sqlite');
      const { refused } = await world.plan(REPAIR, {});
      expect(refused).toMatchObject({ reason: 'record_damaged' });
      expect(refused!.message).toContain('put a copy of that folder back');
      expect(await world.sh('sha256sum /var/lib/rpm/rpmdb.sqlite')).toBe(before);
    });
  },
);

it('of several versions the one that the record took in last stays', () => {
  const out = [
    '4\talpha\t0\t1.0-1\tnoarch',
    '9\talpha\t1\t2.0-1\tnoarch',
    '5\tbeta\t0\t1-1\tx86_64',
    '6\tbeta\t0\t1-1\ti686',
    '7\tgpg-pubkey\t0\t1-1\t(none)',
    '8\tgpg-pubkey\t0\t2-1\t(none)',
  ].join('\n');
  expect(readDuplicates(out)).toEqual([
    {
      stays: { name: 'alpha', architecture: 'noarch', evr: '1:2.0-1' },
      goes: [{ name: 'alpha', architecture: 'noarch', evr: '1.0-1' }],
    },
  ]);
});

it('what is lacking is asked for as packages provide it', () => {
  expect(
    wantedOf([
      'alpha-extra >= 1 is needed by (installed) alpha-2.0-1.noarch',
      'libz.so.1()(64bit) is needed by (installed) beta-1-1.x86_64',
      'libz.so.1()(64bit) is needed by (installed) gamma-1-1.x86_64',
    ]),
  ).toEqual(['alpha-extra >= 1', 'libz.so.1()(64bit)']);
});

it('files that are not as their package brought them are told from configuration, by rpm 4.18', () => {
  const out = [
    'S.5....T.  c /etc/alpha.conf',
    '.......T.    /usr/share/alpha/time',
    'S.5....T.    /usr/share/alpha/data',
    'missing     /usr/share/alpha/gone',
    'missing   c /etc/gone.conf',
    '.M.......  g /var/log/alpha',
  ].join('\n');
  expect(alteredFiles(out)).toEqual(['/usr/share/alpha/data', '/usr/share/alpha/gone']);
});
