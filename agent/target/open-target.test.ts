import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../proto/actions/diagnostics.ts';
import { ActionFixture } from '../actions/filesystem/testing/action-fixture.ts';
import { JobsFixture, ended, output } from '../jobs/jobs-fixture.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import type { Jobs } from '../jobs/job.ts';
import type { ActionContext } from '../runner/action.ts';
import { withTarget } from './open-target.ts';
import { makeDiskImage, smallSystem, withMountedPartition } from './testing/disk-image.ts';

const ROOT_ID = '11111111-2222-4333-8444-555555555501';
const OTHER_ID = '11111111-2222-4333-8444-555555555502';
const BOOT_ID = '11111111-2222-4333-8444-555555555503';
const MIB = 1024 * 1024;
const ROOT_WINDOW = { offset: 17 * MIB, bytes: 32 * MIB };
const FSTAB = [
  `UUID=${ROOT_ID} / ext4 defaults 0 1`,
  `UUID=${BOOT_ID} /boot ext4 defaults 0 2`,
  'UUID=99999999-2222-4333-8444-555555555503 /data ext4 defaults 0 2',
  'server:/export /net nfs defaults 0 0',
  '',
].join('\n');

let folder: string;
let image: string;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'ivo-')));
  image = join(folder, 'disk.img');
  await makeDiskImage(image, 'gpt', [
    { mebibytes: 16, format: 'ext4', uuid: BOOT_ID, files: { '/vmlinuz': 'kernel' } },
    {
      mebibytes: 32,
      format: 'ext4',
      uuid: ROOT_ID,
      files: { ...smallSystem('web-04', FSTAB), '/boot/': '', '/data/': '' },
    },
  ]);
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const digest = async () =>
  createHash('sha256')
    .update(await readFile(image))
    .digest('hex');
const inRoot = <T>(body: (point: string) => Promise<T> | T) =>
  withMountedPartition(image, ROOT_WINDOW, async (point) => body(point));
/** Sandboxes that other tests start meanwhile hold a mount of this process until they end; a job's are its own. */
const released = () => expect.poll(loopsOf, { timeout: 30_000 }).toBe('');
const loopsOf = () => execFileSync('losetup', ['--associated', image], { encoding: 'utf8' });

describe('a job on a system found on a disk', () => {
  let fixture: JobsFixture;
  let jobs: Jobs;
  beforeEach(async () => {
    fixture = await JobsFixture.create();
    jobs = fixture.agent();
    await jobs.load();
  });
  afterEach(() => fixture.close());

  const diagnose = async (change: Partial<JobSpec> = {}) => {
    const target = { disk: image };
    const spec = fixture.spec({ action: 'diagnostics.collect', target, parameters: {}, ...change });
    const job = await jobs.start(spec, {});
    const end = await ended(job);
    return { ...end, said: (await output(job, 'note')).toString() };
  };

  it('sees its files and what is wrong with it, and changes not a byte', async () => {
    await inRoot((point) => {
      execFileSync('mkdir', ['-p', join(point, 'etc/systemd/system')]);
      symlinkSync('/dev/null', join(point, 'etc/systemd/system/ssh.service'));
    });
    const before = await digest();
    const { outcome, result } = await diagnose();
    expect(outcome).toBe('succeeded');
    const { findings, facts } = result as unknown as DiagnosticsResult;
    expect(facts).toMatchObject({ os: 'Debian GNU/Linux 12 (bookworm)', hostname: 'web-04' });
    expect(findings).toContainEqual(
      expect.objectContaining({ rule: 'svc.masked_unit', subject: 'ssh.service' }),
    );
    expect(await digest()).toBe(before);
    expect(loopsOf()).toBe('');
  });

  it('never replays the journal of a file system that was not unmounted', async () => {
    const copy = join(folder, 'copy.img');
    await inRoot((point) => {
      writeFileSync(join(point, 'etc/new'), 'new');
      execFileSync('sync', ['--file-system', point]);
      copyFileSync(image, copy);
    });
    image = copy;
    const before = await digest();
    expect((await diagnose()).outcome).toBe('succeeded');
    expect(await digest()).toBe(before);
  });

  it('is refused while somebody else has the disk mounted', async () => {
    await inRoot(async () => {
      const { outcome, reason, said } = await diagnose();
      expect([outcome, reason]).toEqual(['failed', 'device_busy']);
      expect(said).toMatch('A disk is worked on only when nobody else does');
    });
  });

  it('is refused on another system than the order expects', async () => {
    const other = await diagnose({ expect: { hostname: 'db-01' } });
    expect([other.outcome, other.reason]).toEqual(['failed', 'identity_mismatch']);
    expect(other.said).toMatch('the order expects the host name db-01');
    expect((await diagnose({ expect: { hostname: 'web-04' } })).outcome).toBe('succeeded');
  });

  it('is never on the first of several systems: the order says which', async () => {
    await makeDiskImage(image, 'dos', [
      { mebibytes: 32, format: 'ext4', uuid: ROOT_ID, files: smallSystem('one', '') },
      { mebibytes: 32, format: 'ext4', uuid: OTHER_ID, files: smallSystem('two', '') },
    ]);
    const several = await diagnose();
    expect([several.outcome, several.reason]).toEqual(['failed', 'system_ambiguous']);
    expect(several.said).toMatch(`${OTHER_ID} (Debian GNU/Linux 12 (bookworm), two, partition 2`);
    const named = await diagnose({ target: { disk: image, filesystem: OTHER_ID } });
    expect(named.result).toMatchObject({ facts: { hostname: 'two' } });
    const gone = await diagnose({ target: { disk: image, filesystem: BOOT_ID } });
    expect([gone.outcome, gone.reason]).toEqual(['failed', 'system_missing']);
  });

  it('says what is on a disk without a system', async () => {
    await makeDiskImage(image, 'gpt', [{ mebibytes: 16, format: 'ext4', uuid: BOOT_ID }]);
    const { outcome, result } = await diagnose();
    expect(outcome).toBe('succeeded');
    expect((result as unknown as DiagnosticsResult).findings).toContainEqual(
      expect.objectContaining({ rule: 'disk.no_system', severity: 'critical' }),
    );
    expect((await diagnose({ target: { disk: join(folder, 'none') } })).reason).toBe(
      'device_missing',
    );
  });

  it('leaves nothing attached when it is killed', async () => {
    const spec = fixture.spec({
      action: 'diagnostics.collect',
      target: { disk: image },
      parameters: {},
    });
    const job = await jobs.start(spec, {});
    await jobs.killAll('killed');
    expect(job.ended).not.toBeNull();
    await released();
  });
});

/** A sandbox that another test starts between two mounts of one disk holds the first, and the second is refused. */
const BUSY = { retry: 3 };

describe('the running system', () => {
  let fixture: ActionFixture;
  beforeEach(async () => void (fixture = await ActionFixture.create()));
  afterEach(() => fixture.close());

  it('lets a program that only looks write to nothing of it', async () => {
    await withTarget(await fixture.bareContext(), { write: false }, async ({ runInside }) => {
      const run = async (script: string) =>
        (await runInside(['sh', '-c', script], { output: 'capture', readOnly: true })).exitStatus;
      const write = 'echo new > /etc/intervene-new';
      expect(await run(write)).not.toBe(0);
      expect(await run(`mount -o remount,bind,rw / && ${write}`)).not.toBe(0);
      expect(existsSync('/etc/intervene-new')).toBe(false);
      expect(await run('mkdir /run/lock/apache2 && echo x > /run/x.pid')).toBe(0);
      expect(existsSync('/run/x.pid')).toBe(false);
    });
  });
});

describe('an open target', BUSY, () => {
  let fixture: ActionFixture;
  let context: ActionContext;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    const bare = await fixture.bareContext();
    context = { ...bare, spec: { ...bare.spec, target: { disk: image } } };
  });
  afterEach(() => fixture.close());

  it('has what its fstab names at its places, and says what is missing', async () => {
    await withTarget(context, { write: false }, async ({ files, layout, ids }) => {
      expect(await files.read('/boot/vmlinuz')).toBe('kernel');
      expect(layout!.parts.map(({ mountPoint }) => mountPoint)).toEqual(['/', '/boot']);
      expect(layout!.missing.map(({ why }) => why)).toEqual([
        'UUID=99999999-2222-4333-8444-555555555503 is on none of the disks',
      ]);
      expect(ids).toEqual({
        offline: { disk: image, filesystem: ROOT_ID },
        system: 'Debian GNU/Linux 12 (bookworm)',
      });
      expect(layout!.volumes.map(({ node }) => node.slice(-3))).toEqual(['1p1', '1p2']);
    });
    await released();
  });

  it('is written only when it was opened for that', async () => {
    const write = (point: string) => writeFileSync(join(point, 'etc/new'), 'new');
    await withTarget(context, { write: false }, async ({ root }) => {
      expect(() => write(root.path)).toThrow('EROFS');
    });
    await released();
    const second = await fixture.bareContext();
    context = { ...second, spec: context.spec };
    await withTarget(context, { write: true }, async ({ root }) => write(root.path));
    await released();
    await inRoot((point) => expect(existsSync(join(point, 'etc/new'))).toBe(true));
  });

  it.each([false, true])(
    'never takes this machine down because its file system says so (write: %s)',
    async (write) => {
      await rm(image);
      const words = ['-q', '-t', 'ext4', '-e', 'panic', '-U', ROOT_ID, image, '16M'];
      execFileSync('mke2fs', words);
      const system = { offset: 0, bytes: 16 * MIB };
      await withMountedPartition(image, system, async (point) => {
        for (const name of ['etc', 'bin']) mkdirSync(join(point, name));
        writeFileSync(join(point, 'etc/hosts'), '');
      });
      await withTarget(context, { write }, async ({ root }) => {
        const mounted = readFileSync('/proc/self/mounts', 'utf8')
          .split('\n')
          .find((line) => line.split(' ')[1] === root.path);
        expect(mounted).toContain('errors=remount-ro');
      });
    },
  );

  it('mounts nothing where a hostile link leads out of it', async () => {
    await inRoot((point) => {
      execFileSync('rmdir', [join(point, 'boot')]);
      symlinkSync('../../../../../../../../etc', join(point, 'boot'));
    });
    await withTarget(context, { write: false }, async ({ layout, root }) => {
      const points = layout!.parts.map(({ mountPoint }) => mountPoint);
      // Inside the target /etc is where such a link ends.
      expect(points).toEqual(['/', '/etc']);
      expect(existsSync('/etc/passwd')).toBe(true);
      expect(existsSync(join(root.path, 'etc/vmlinuz'))).toBe(true);
    });
  });

  it('runs its own programs with nothing but itself around them', async () => {
    await inRoot((point) => {
      copyFileSync('/bin/busybox', join(point, 'bin/busybox'));
      execFileSync('chmod', ['755', join(point, 'bin/busybox')]);
    });
    const sh = (script: string) => ['/bin/busybox', 'sh', '-c', script];
    await withTarget(context, { write: false }, async ({ runInside }) => {
      const seen = await runInside(
        sh('ls / /dev; cat /etc/hostname; ls /proc | grep -c "^[0-9]"'),
        {
          output: 'capture',
        },
      );
      expect(seen.out).toContain('web-04');
      expect(seen.out).not.toContain('loop');
      const tries = [
        'echo x > /proc/sys/kernel/core_pattern',
        'echo x > /etc/hostname',
        'mount -t tmpfs tmpfs /boot',
        'ls /dev/loop*',
      ];
      for (const attempt of tries) {
        const done = await runInside(sh(attempt), { output: 'capture' });
        expect(done.exitStatus, attempt).not.toBe(0);
      }
      for (const devices of ['read', 'write'] as const) {
        const look = sh('ls -l /dev/disk/by-uuid; head -c 8 /dev/loop*p2 | wc -c');
        const disks = await runInside(look, { output: 'capture', devices });
        expect(disks.out).toContain(ROOT_ID);
        expect(disks.out).toContain('8');
      }
    });
  });

  it('lets a program write to no more than it is shown to', async () => {
    await inRoot((point) => {
      copyFileSync('/bin/busybox', join(point, 'bin/busybox'));
      execFileSync('chmod', ['755', join(point, 'bin/busybox')]);
      execFileSync('mkdir', ['-p', join(point, 'boot')]);
    });
    const sh = (script: string) => ['/bin/busybox', 'sh', '-c', script];
    await withTarget(context, { write: true }, async ({ runInside, root }) => {
      const covers = [{ at: '/boot', with: join(root.path, 'boot'), writable: true }] as const;
      const run = (script: string, devices: 'read' | 'write') =>
        runInside(sh(script), { output: 'capture', readOnly: true, covers, devices });
      const copy = 'dd if=$(ls /dev/loop*p2) of=$(ls /dev/loop*p2) bs=512 count=1 conv=notrunc';
      const tries = [
        copy,
        `chmod 666 /dev/loop*p2 && ${copy}`,
        `chown 0 /dev/loop*p2 && ${copy}`,
        `busybox su nobody -s /bin/busybox sh -c "chmod 666 /dev/loop*p2"`,
        'echo x > /etc/hostname',
        'mount -o remount,rw /',
      ];
      for (const attempt of tries) {
        expect((await run(attempt, 'read')).exitStatus, attempt).not.toBe(0);
      }
      expect((await run('echo x > /boot/new', 'read')).exitStatus).toBe(0);
      expect((await run('echo x > /etc/hostname', 'write')).exitStatus).not.toBe(0);
      expect((await run(copy, 'write')).exitStatus).toBe(0);
    });
  });

  it('runs no program of a target whose /dev is a link', async () => {
    await inRoot((point) => {
      execFileSync('rmdir', [join(point, 'dev')]);
      symlinkSync('/etc', join(point, 'dev'));
    });
    await withTarget(context, { write: false }, async ({ runInside }) => {
      await expect(runInside(['/bin/true'])).rejects.toMatchObject({ reason: 'target_hostile' });
    });
  });
});
