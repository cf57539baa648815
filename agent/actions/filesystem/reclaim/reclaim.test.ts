import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { realpath } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { ReclaimExtra } from '../../../../proto/actions/reclaim.ts';
import { DiskJobs } from '../../../jobs/disk-jobs-fixture.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { TargetRoot } from '../../../target/target-root.ts';
import {
  makeDiskImage,
  smallSystem,
  withMountedPartition,
} from '../../../target/testing/disk-image.ts';
import { treeDigest } from '../../diagnostics/testing/probe-fixture.ts';
import { sha256 } from '../testing/image-bytes.ts';
import { findReclaimable, pathOf } from './find-reclaimable.ts';

const MIB = 1024 * 1024;

describe('what may be removed', () => {
  let root: string;
  beforeEach(async () => {
    root = await realpath(mkdtempSync(join(tmpdir(), 'ivr-')));
  });
  afterEach(() => rmSync(root, { recursive: true, force: true }));

  const write = (path: string, bytes = 10, daysOld = 0) => {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), Buffer.alloc(bytes));
    const at = 1_790_000_000 - daysOld * 86_400;
    utimesSync(join(root, path), at, at);
  };
  const look = async (also: readonly ReclaimExtra[] = [], keepJournalBytes = 0) => {
    const context = { signal: new AbortController().signal };
    const options = { also, keepJournalBytes };
    const before = treeDigest(root);
    const { goes, stays } = await findReclaimable(context, new TargetRoot(root), options);
    expect(treeDigest(root)).toBe(before);
    return {
      goes: goes.flatMap(({ files }) => files.map(pathOf)),
      stays: stays.map(({ kind, why, files }) => [kind.id, why, ...files.map(pathOf)]),
    };
  };
  const find = async (...options: Parameters<typeof look>) => (await look(...options)).goes;

  it.each([
    '/var/cache/apt/archives/nginx_1.22_amd64.deb',
    '/var/cache/apt/archives/partial/nginx_1.22_amd64.deb',
    '/var/cache/dnf/base-1234/packages/nginx.rpm',
    '/var/log/syslog.1',
    '/var/log/apache2/access.log.14.gz',
    '/var/log/messages-20260131',
    '/var/log/shop/catalina.log-20260131.xz',
    '/var/log/httpd/ssl_request_log.2',
    '/var/log/maillog-20260131',
    `/var/log/journal/${'a'.repeat(32)}/system@0005-abc.journal`,
    `/var/log/journal/${'a'.repeat(32)}/user-1000@0005.journal~`,
  ])('is %s', async (path) => {
    write(path);
    expect(await find()).toEqual([path]);
  });

  it.each([
    '/var/cache/apt/pkgcache.bin',
    '/var/cache/apt/archives/lock',
    '/var/log/syslog',
    '/var/log/mysql/mysql-bin.000001',
    '/var/log/mysql/mysql-bin.log.000001',
    '/var/log/backup/orders.sql.gz',
    '/var/log/backup/orders.1',
    '/var/log/backup/shop.log.1',
    '/var/log/blog-20260131.gz',
    '/var/log/catalog.1',
    '/var/log/log-backup.1',
    '/var/log/shop-log.sql-20260131.gz',
    `/var/log/journal/${'a'.repeat(32)}/system.journal`,
    '/boot/initrd.img-6.1.0-1-amd64',
    '/boot/initrd.img-6.1.0-2-amd64.new',
    '/srv/shop.log.1',
    '/var/lib/mysql/ib_logfile.1',
    '/var/www/shop/log/access.log.1',
    '/var/lib/php/sessions/sess_1',
    '/var/crash/nginx.crash',
  ])('is not %s', async (path) => {
    write(path);
    expect(await find()).toEqual([]);
  });

  it('is a leftover of an initramfs only beside the one that boots', async () => {
    write('/boot/initrd.img-6.1');
    write('/boot/initrd.img-6.1.new', 4 * MIB);
    write('/boot/initrd.img-6.1.dpkg-bak');
    expect(await find()).toEqual(['/boot/initrd.img-6.1.dpkg-bak', '/boot/initrd.img-6.1.new']);
  });

  it.each([0, MIB])('is no whole initramfs beside one of %d bytes', async (bytes) => {
    write('/boot/initrd.img-6.1', bytes);
    write('/boot/initrd.img-6.1.dpkg-bak', 4 * MIB);
    const why = `since the one that boots ${bytes === 0 ? 'is missing or empty' : 'may be cut short'}`;
    const stays = [['initramfs-leftovers', why, '/boot/initrd.img-6.1.dpkg-bak']];
    expect(await look()).toEqual({ goes: [], stays });
  });

  it('is said to stay where a person would expect it to go', async () => {
    for (const name of ['backup/shop.log.1', 'blog-20260131.gz', 'mysql-bin.000001']) {
      write(`/var/log/${name}`);
    }
    write('/var/log/shop.log', 65 * MIB);
    expect(await look()).toEqual({
      goes: [],
      stays: [
        ['rotated-logs', 'named as what somebody has saved', '/var/log/backup/shop.log.1'],
        ['rotated-logs', 'by name no log', '/var/log/blog-20260131.gz'],
        ['rotated-logs', 'still written: only logs that were rotated away go', '/var/log/shop.log'],
      ],
    });
  });

  const whole = 'Package: shop\nStatus: install ok installed\nVersion: 1\n';
  const libc = `${'0'.repeat(32)}  usr/lib/x86_64-linux-gnu/libc.so.6\n`;
  it.each([
    ['shop is half-installed', 'status', whole.replace('installed', 'half-installed')],
    ['shop must be installed anew', 'status', whole.replace(' ok ', ' reinstreq ')],
    ['shop needs libshop, which is not there', 'status', `${whole}Depends: libshop\n`],
    ['dpkg was interrupted', 'updates/0001', whole],
    ['files of the C library are gone', 'info/libc6:amd64.md5sums', libc],
    ["dpkg's record is gone", 'info/shop.list', '/.\n'],
  ])('is no archive while %s, which is said', async (why, name, text) => {
    const archive = '/var/cache/apt/archives/shop_1_amd64.deb';
    write(archive);
    const record = join(root, 'var/lib/dpkg');
    mkdirSync(dirname(join(record, name)), { recursive: true });
    if (name !== 'info/shop.list') writeFileSync(join(record, 'status'), whole);
    expect(await find()).toEqual([archive]);
    writeFileSync(join(record, name), text);
    const because = `since packages may have to be repaired from archives (${why})`;
    expect(await look()).toEqual({ goes: [], stays: [['package-archives', because, archive]] });
  });

  it('is a session or a memory image only where the order says so', async () => {
    write('/var/lib/php/sessions/sess_1');
    write('/var/lib/systemd/coredump/core.nginx.1');
    expect(await find(['php-sessions'])).toEqual(['/var/lib/php/sessions/sess_1']);
    expect(await look(['core-dumps'])).toEqual({
      goes: ['/var/lib/systemd/coredump/core.nginx.1'],
      stays: [['php-sessions', 'removed only where the order says also=php-sessions']],
    });
  });

  it('is the oldest of the journal, beyond what is kept', async () => {
    const place = `/var/log/journal/${'a'.repeat(32)}`;
    for (const day of [1, 2, 3]) write(`${place}/system@${day}.journal`, 1024 * 1024, day);
    expect(await look([], 2.5 * MIB)).toEqual({
      goes: [`${place}/system@3.journal`],
      stays: [['journal', 'the newest, as much as keepJournal leaves']],
    });
  });

  it('is nothing that a folder leads away to, and no file that has a further name', async () => {
    write('/srv/backups/shop_1_amd64.deb');
    mkdirSync(join(root, 'var/cache/apt'), { recursive: true });
    symlinkSync('/srv/backups', join(root, 'var/cache/apt/archives'));
    mkdirSync(join(root, 'var/log'));
    symlinkSync('/srv/backups/shop_1_amd64.deb', join(root, 'var/log/a.log.1'));
    write('/srv/kept');
    linkSync(join(root, 'srv/kept'), join(root, 'var/log/b.log.1'));
    expect(await look()).toEqual({
      goes: [],
      stays: [
        ['package-archives', expect.stringContaining('archives leads to /srv/backups')],
        ['rotated-logs', expect.stringContaining('hard links'), '/var/log/b.log.1'],
      ],
    });
  });
});

describe('making room on a disk', { timeout: 120_000 }, () => {
  let loops: LoopFixture;
  let jobs: DiskJobs;
  let image: string;
  beforeAll(async () => {
    loops = await LoopFixture.create();
    image = loops.path('disk.img');
    jobs = await DiskJobs.on(image, { action: 'filesystem.reclaim' });
    const files = {
      ...smallSystem('web', 'LABEL=root / ext4 defaults 0 1\n'),
      '/var/cache/apt/archives/shop_1_amd64.deb': 'p'.repeat(3 * MIB),
      '/var/log/shop.log': 'now\n',
      '/var/log/shop.log.1': 'l'.repeat(2 * MIB),
      '/srv/shop.log.1': 'of the client\n',
      ...Object.fromEntries(
        Array.from({ length: 400 }, (_, n) => [`/var/lib/php/sessions/sess_${n}`, '']),
      ),
    };
    await makeDiskImage(image, 'gpt', [{ mebibytes: 16, format: 'ext4', label: 'root', files }]);
  });
  afterAll(async () => {
    await jobs.close();
    await loops.close();
  });

  const onDisk = <T>(body: (point: string) => T) =>
    withMountedPartition(image, { offset: MIB, bytes: 16 * MIB }, async (point) => body(point));

  it('is planned by name and size, says that nothing can be put back, and removes that alone', async () => {
    const before = await sha256(image);
    const planned = await jobs.plan();
    expect(await sha256(image)).toBe(before);
    expect((await jobs.plan()).bytes).toBe(planned.bytes);
    expect(planned.plan.summary).toBe('Remove 2 files, 5.0 MiB in all; they cannot be put back.');
    expect(planned.plan.findings).toEqual([
      '1 downloaded package, 3.0 MiB: /var/cache/apt/archives/shop_1_amd64.deb (3.0 MiB)',
      '1 rotated log, 2.0 MiB: /var/log/shop.log.1 (2.0 MiB)',
      'Stays: sessions of PHP, removed only where the order says also=php-sessions',
    ]);
    expect(planned.plan.steps.map(({ changes, undo }) => [changes[0], undo.possible])).toEqual([
      [{ type: 'command', argv: ['rm', '--', '/var/cache/apt/archives/shop_1_amd64.deb'] }, false],
      [{ type: 'command', argv: ['rm', '--', '/var/log/shop.log.1'] }, false],
    ]);

    await onDisk((point) => writeFileSync(join(point, 'var/log/shop.log.1'), 'other'));
    const stale = await jobs.order({ plan: planned.bytes });
    expect([stale.outcome, stale.reason]).toEqual(['failed', 'changed_since_plan']);

    const done = await jobs.order({ plan: (await jobs.plan()).bytes });
    expect(done.result, done.said).toMatchObject({ outcome: 'reclaimed', files: 2 });
    expect(done.said).toContain('Free now:');
    await onDisk((point) => {
      expect(readdirSync(join(point, 'var/log'))).toEqual(['shop.log']);
      expect(readdirSync(join(point, 'var/cache/apt/archives'))).toEqual([]);
      expect(readFileSync(join(point, 'srv/shop.log.1'), 'utf8')).toBe('of the client\n');
      expect(readdirSync(join(point, 'var/lib/php/sessions'))).toHaveLength(400);
    });
    expect((await jobs.plan()).plan.steps).toEqual([]);
  });

  it('names folders where there are too many files to name', async () => {
    const parameters = { also: ['php-sessions'] };
    const planned = await jobs.plan({ parameters });
    const [step] = planned.plan.steps;
    expect(step).toMatchObject({
      id: 'php-sessions',
      declaredFolders: ['/var/lib/php/sessions'],
      undo: { possible: false, why: expect.stringContaining('logged out') },
    });
    const done = await jobs.order({ plan: planned.bytes, parameters });
    expect(done.result, done.said).toMatchObject({ outcome: 'reclaimed', files: 400 });
  });
});
