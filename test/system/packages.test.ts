import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PackageRepository } from '../fixtures/package-repository.ts';
import { PackageServer } from '../fixtures/package-server.ts';

let its: PackageServer;

beforeAll(async () => {
  its = await PackageServer.start();
}, 600_000);
afterAll(() => its?.close());

const file = (path: string) => its.server.debian.exec(['cat', path]);

describe('packages that are new', () => {
  beforeAll(() =>
    its.repository.publish(
      { name: 'hello-dep', version: '1.0', files: { 'usr/share/hello-dep': 'x' } },
      {
        name: 'hello-one',
        version: '1.0',
        fields: { Depends: 'hello-dep' },
        conffiles: { '/etc/hello.conf': 'greeting=hello\n' },
      },
    ),
  );

  it('are planned as the same bytes each time, and nothing is changed by it', async () => {
    const before = await its.digest();
    const first = await its.plan(['hello-one']);
    const second = await its.plan(['hello-one']);
    expect(second.planDigest).toBe(first.planDigest);
    expect(first.plan.target['packages']).toMatchObject([
      { name: 'hello-dep', from: null, to: '1.0' },
      { name: 'hello-one', from: null, to: '1.0' },
    ]);
    expect(await its.digest()).toBe(before);
    expect(await its.locally('find', '/var/tmp', '-name', 'intervene*')).toBe('');
  });

  it('are installed as planned, what they need marked so, and are gone again after the undo', async () => {
    const { planDigest } = await its.plan(['hello-one']);
    const done = await its.apply(planDigest);
    expect(done.status, done.stderr + done.stdout).toBe(0);
    expect(done.job.result).toMatchObject({ outcome: 'installed', audit: '' });
    expect(await its.state('hello-one')).toBe('1.0 installed');
    expect(await its.locally('apt-mark', 'showauto')).toMatch(/^hello-dep$/m);
    const undone = await its.undo(done.job);
    expect(undone.status, undone.stderr + undone.stdout).toBe(0);
    expect(undone.job.result).toMatchObject({ outcome: 'restored' });
    expect([await its.state('hello-one'), await its.state('hello-dep')]).toEqual(['', '']);
    expect((await file('/etc/hello.conf')).status).not.toBe(0);
  });

  it('leave configuration files of an earlier removal where they were after the undo', async () => {
    await its.locally('apt-get', 'update');
    await its.locally('apt-get', 'install', '-y', 'hello-one');
    await its.locally('dpkg', '--remove', 'hello-one');
    const { planDigest } = await its.plan(['hello-one']);
    const done = await its.apply(planDigest);
    expect(await its.state('hello-one')).toBe('1.0 installed');
    await its.undo(done.job);
    expect(await its.state('hello-one')).toBe('1.0 config-files');
    expect((await file('/etc/hello.conf')).stdout).toBe('greeting=hello\n');
    await its.locally('dpkg', '--purge', 'hello-one', 'hello-dep');
  });

  it('need nothing once they are there', async () => {
    const { planDigest, plan } = await its.plan(['nginx-light']);
    expect(plan.steps).toEqual([]);
    expect(plan.summary).toContain('Nothing to do');
    const done = await its.apply(planDigest);
    expect(done.job.result).toMatchObject({ outcome: 'nothing_to_do' });
  });
});

describe('an upgrade', () => {
  const version = (number: string) => ({
    name: 'conf-pkg',
    version: number,
    files: { 'usr/share/conf-pkg/data': `data ${number}\n` },
    conffiles: { '/etc/conf-pkg.conf': `made by ${number}\n` },
  });

  beforeAll(async () => {
    await its.repository.publish(version('1:1.0'));
    await its.locally('apt-get', 'update');
    await its.locally('apt-get', 'install', '-y', 'conf-pkg');
    await its.server.debian.write('/etc/conf-pkg.conf', 'mine\n');
    await its.repository.publish(version('1:2.0'));
  });

  it.each(['archive', 'repack'])(
    'keeps changed configuration; the undo puts the old version back from its %s',
    async (how) => {
      if (how === 'repack') await its.locally('apt-get', 'clean');
      const { planDigest, plan } = await its.plan(['conf-pkg']);
      expect(plan.findings.join('\n')).toContain('/etc/conf-pkg.conf was changed on this server');
      expect(plan.steps[1]).toMatchObject({
        backup: { what: expect.stringContaining(how === 'repack' ? 'from its files' : 'archive') },
      });
      const done = await its.apply(planDigest);
      expect(done.status, done.stderr + done.stdout).toBe(0);
      expect(done.job.result).toMatchObject({ keptConffiles: ['/etc/conf-pkg.conf'] });
      expect((await file('/etc/conf-pkg.conf')).stdout).toBe('mine\n');
      expect((await file('/usr/share/conf-pkg/data')).stdout).toBe('data 1:2.0\n');

      const undone = await its.undo(done.job);
      expect(undone.status, undone.stderr + undone.stdout).toBe(0);
      expect(await its.state('conf-pkg')).toBe('1:1.0 installed');
      expect((await file('/usr/share/conf-pkg/data')).stdout).toBe('data 1:1.0\n');
      expect((await file('/etc/conf-pkg.conf')).stdout).toBe('mine\n');
      expect(await its.locally('dpkg', '--audit')).toBe('');
      expect(await its.locally('apt-mark', 'showmanual')).toMatch(/^conf-pkg$/m);
      await its.locally('rm', '-f', '/etc/conf-pkg.conf.dpkg-dist');
    },
  );

  it('says before that an essential package cannot be put back', async () => {
    await its.repository.publish({
      name: 'hostname',
      version: '99',
      fields: { Essential: 'yes' },
      files: { 'usr/share/doc/hostname/x': 'x' },
    });
    const { plan } = await its.plan(['hostname']);
    const install = plan.steps.find(({ id }) => id === 'install')!;
    expect(install.undo).toMatchObject({
      possible: false,
      why: expect.stringContaining('hostname'),
    });
  });

  it('is refused when packages were changed since it was planned', async () => {
    const { planDigest } = await its.plan(['conf-pkg']);
    await its.locally('apt-mark', 'hold', 'procps');
    const done = await its.apply(planDigest);
    expect(done.status).toBe(1);
    expect(done.job.reason).toBe('changed_since_plan');
    expect(await its.state('conf-pkg')).toBe('1:1.0 installed');
    await its.locally('apt-mark', 'unhold', 'procps');
  });

  it('is refused when the source gives another version than planned', async () => {
    const { planDigest } = await its.plan(['conf-pkg']);
    await its.repository.publish({
      ...version('1:2.0'),
      files: { 'usr/share/conf-pkg/data': 'other' },
    });
    const done = await its.apply(planDigest);
    expect(done.job.reason).toBe('changed_since_plan');
    expect(await its.state('conf-pkg')).toBe('1:1.0 installed');
  });
});

describe('what is never done', () => {
  beforeAll(async () => {
    await its.repository.publish(
      { name: 'victim', version: '2.0' },
      { name: 'victim', version: '1.0' },
      { name: 'rival', version: '1.0', fields: { Conflicts: 'victim' } },
      { name: 'wants-more', version: '1.0', fields: { Depends: 'no-such-thing' } },
      { name: 'newer-held', version: '2.0' },
      { name: 'newer-held', version: '1.0' },
    );
    await its.locally('apt-get', 'update');
    await its.locally('apt-get', 'install', '-y', 'victim=2.0', 'newer-held=1.0');
    await its.locally('apt-mark', 'hold', 'newer-held');
  });

  it.each([
    [['rival'], 'would_remove', 'victim'],
    [['newer-held'], 'would_change_held', 'newer-held'],
    [['victim=1.0'], 'would_downgrade', 'victim'],
    [['wants-more'], 'dependencies_unmet', 'no-such-thing'],
    [['no-such-thing'], 'package_not_found', 'no-such-thing'],
    [['Victim'], 'package_not_found', 'Victim'],
    [['victim=7'], 'package_not_found', 'victim'],
  ])('%j is refused: %s', async (packages, reason, named) => {
    const before = await its.digest();
    await its.allow(packages);
    const done = await its.tryPlan(packages);
    expect(done.status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe(reason);
    const job = await its.lastJob('plan');
    expect(
      (await its.server.stack.cli('lead', 'logs', job.id, '--channel', 'note')).stdout,
    ).toContain(named);
    expect(await its.digest()).toBe(before);
  });

  it.each([
    [['-o', 'x']],
    [['victim-']],
    [['./victim.deb']],
    [['victim/stable']],
    [['victim', 'victim=1.0']],
    [[]],
  ])('%j is no list of packages', async (packages) => {
    const done = await its.tryPlan(packages);
    expect(done.status).toBe(2);
  });

  it('takes no package from a source that proves nothing, and says so', async () => {
    const unsigned = await PackageRepository.start({ signed: false });
    try {
      await unsigned.publish({ name: 'unproven', version: '1.0' });
      await its.server.debian.reachHost(unsigned.port);
      await its.server.debian.write(
        '/etc/apt/sources.list.d/unsigned.list',
        its.sourceLine(unsigned, 'tests.asc'),
      );
      await its.allow(['unproven']);
      const done = await its.tryPlan(['unproven']);
      expect(done.status).toBe(1);
      const job = await its.lastJob('plan');
      expect(job.reason).toBe('package_not_found');
      const log = await its.server.stack.ok('lead', 'logs', job.id);
      expect(log).toMatch(/not signed/);
      // The other source is as good as before.
      expect((await its.plan(['victim'])).plan.findings.join('\n')).toMatch(/not signed/);
    } finally {
      await its.locally('rm', '-f', '/etc/apt/sources.list.d/unsigned.list');
      await unsigned.close();
    }
  });

  it('says that the list of sources cannot be read', async () => {
    await its.server.debian.write('/etc/apt/sources.list.d/broken.list', 'deb http://127.0.0.1/\n');
    await its.allow(['victim']);
    expect((await its.tryPlan(['victim'])).status).toBe(1);
    expect((await its.lastJob('plan')).reason).toBe('sources_unreadable');
    await its.locally('rm', '/etc/apt/sources.list.d/broken.list');
  });
});

describe('what a client allows', () => {
  it('is those packages and no others', async () => {
    await its.server.stack.authorize('packages.*');
    expect((await its.tryPlan(['hello-dep'])).status).toBe(3);
    expect((await its.lastJob('plan')).reason).toBe('grant_missing');
    await its.allow(['hello-dep']);
    expect((await its.tryPlan(['hello-dep'])).status).toBe(0);
    expect((await its.tryPlan(['hello-dep', 'hello-one'])).status).toBe(3);
    expect((await its.tryPlan(['hello-dep=1.0'])).status).toBe(3);
  });
});
