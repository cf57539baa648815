import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  parseSuperblock,
  SUPERBLOCK_OFFSET,
} from '../../agent/actions/filesystem/ext/superblock.ts';
import type { Jobs } from '../../agent/jobs/job.ts';
import { ended, JobsFixture, output } from '../../agent/jobs/jobs-fixture.ts';
import { smallSystem } from '../../agent/target/testing/disk-image.ts';
import { createChance, mutate } from './mutation.ts';

/** A job for each, in a sandbox of its own: all of them only in the long round. */
const [TREES, MUTATED] = process.env['INTERVENE_TEST_ALL'] === '1' ? [30, 30] : [6, 6];
const SUPERBLOCKS = 20_000;
const CANARY = 'a-key-that-no-disk-may-show';
const ID = '11111111-2222-4333-8444-555555555501';
const chance = createChance();

let folder: string;
let secret: string;
let sound: string;
let fixture: JobsFixture;
let jobs: Jobs;
beforeAll(async () => {
  folder = await realpath(await mkdtemp(path.join(tmpdir(), 'ivhd-')));
  secret = path.join(folder, 'key');
  writeFileSync(secret, CANARY, { mode: 0o600 });
  fixture = await JobsFixture.create({ protectedPaths: [secret] });
  jobs = fixture.agent();
  await jobs.load();
  sound = image('sound', tree('sound', []));
});
afterAll(async () => {
  await fixture.close();
  await rm(folder, { recursive: true, force: true });
});

const up = '../'.repeat(12);
/** Where a link may lead: to this machine's own, to itself, to nothing, to devices. */
const leads = () =>
  chance.pick([
    ...[
      secret,
      `${up}${secret}`,
      `${up}etc/shadow`,
      '/proc/self/root/etc/shadow',
      '/proc/1/environ',
    ],
    ...[
      'fstab',
      '.',
      '..',
      '/',
      'x'.repeat(1_000),
      '/dev/zero',
      '/dev/mem',
      '/dev/tty',
      '\x1b[31m',
    ],
  ]);
const lines = () =>
  Array.from({ length: chance.below(30) }, () =>
    chance.pick([
      ...[`UUID=${ID} / ext4 defaults 0 1`, `UUID=${ID} ${up}etc ext4 rw,suid,dev 0 0`],
      ...['/dev/sda1 / ext4 errors=panic 0 1', `${secret} /mnt auto loop 0 0`, '# \0', '\x9b2J'],
      ...['LABEL=$(id) /`id` ext4 defaults 0 0', '//evil/share /mnt cifs credentials=/etc/shadow'],
      ...['/etc /mnt none bind 0 0', 'overlay / overlay lowerdir=/etc 0 0', 'x '.repeat(5_000)],
      ...[
        'PRETTY_NAME="$(reboot)"',
        `NAME="${'n'.repeat(100_000)}"`,
        'PRETTY_NAME="\x1b]52;c;eA==\x07"',
      ],
      ...['root:x:0:0::/root:/bin/sh', '127.0.0.1 localhost', `HOSTNAME=${CANARY.slice(0, 5)}`],
    ]),
  ).join('\n');

const FILES = [
  ...['etc/fstab', 'etc/os-release', 'etc/hostname', 'etc/machine-id', 'etc/hosts', 'etc/passwd'],
  ...['etc/shadow', 'etc/ssh/sshd_config', 'etc/default/grub', 'etc/crypttab', 'etc/mdadm.conf'],
  ...[
    'boot/grub/grub.cfg',
    'var/lib/dpkg/status',
    'etc/systemd/system/ssh.service',
    'etc/resolv.conf',
  ],
];

type Trait = (root: string, place: string) => void;
const clear = (place: string) => execFileSync('rm', ['-rf', '--', place]);
const traits: Record<string, Trait> = {
  link: (_, place) => symlinkSync(leads(), place),
  text: (_, place) => writeFileSync(place, lines()),
  bytes: (_, place) => writeFileSync(place, chance.bytes(chance.below(5_000))),
  long: (_, place) => writeFileSync(place, Buffer.alloc(2 * 1024 * 1024, '\\\n')),
  pipe: (_, place) => execFileSync('mkfifo', [place]),
  device: (_, place) =>
    execFileSync('mknod', [
      place,
      ...chance.pick([
        ['c', '1', '5'],
        ['b', '7', '0'],
      ]),
    ]),
  folder: (_, place) => mkdirSync(place),
  'set-user-id': (root, place) => {
    copyFileSync('/bin/true', place);
    for (const name of ['blkid', 'mount', 'sh']) copyFileSync(place, path.join(root, 'bin', name));
    chmodSync(place, 0o6777);
  },
  crowd: (_, place) => {
    mkdirSync(place);
    for (let at = 0; at < 3_000; at++) writeFileSync(path.join(place, `${at}\x1b[2J\n`), '');
  },
  circle: (_, place) => {
    symlinkSync(`${path.basename(place)}2`, place);
    symlinkSync(path.basename(place), `${place}2`);
  },
};

/** A system that looks right but for these names in it. Returns its folder. */
function tree(name: string, changes: readonly { trait: string; file: string }[]): string {
  const root = path.join(folder, `${name}.tree`);
  for (const [file, text] of Object.entries(
    smallSystem('web-04', `UUID=${ID} / ext4 defaults 0 1\n`),
  )) {
    const place = path.join(root, file);
    mkdirSync(file.endsWith('/') ? place : path.dirname(place), { recursive: true });
    if (!file.endsWith('/')) writeFileSync(place, text);
  }
  for (const { trait, file } of changes) {
    const place = path.join(root, file);
    mkdirSync(path.dirname(place), { recursive: true });
    clear(place);
    clear(`${place}2`);
    traits[trait]!(root, place);
  }
  return root;
}

/**
 * A disk that is one file system, without checksums that would stop a reader early, and with room for all that
 * a tree may hold.
 */
function image(name: string, root: string, errors = 'continue'): string {
  const file = path.join(folder, `${name}.img`);
  const words = [
    '-q',
    '-F',
    '-t',
    'ext4',
    '-b',
    '1024',
    '-N',
    '32768',
    '-O',
    '^metadata_csum,^has_journal',
  ];
  const label = chance.pick(['root', '$(id)', '../../x', '\x1b[31m', '-o']);
  execFileSync('mke2fs', [...words, '-e', errors, '-U', ID, '-L', label, '-d', root, file, '48M'], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  clear(root);
  return file;
}

function mutatedImage(name: string): string {
  const bytes = readFileSync(sound);
  // The superblock, the descriptors of its groups and the first bitmaps.
  const at = SUPERBLOCK_OFFSET + chance.pick([0, 0, 1024, 2048]);
  const piece = bytes.subarray(at, at + 1024);
  mutate(chance, piece, [Buffer.alloc(8, 0xff), Buffer.alloc(16), Buffer.from('LVM2 001')])
    .subarray(0, 1024)
    .copy(bytes, at);
  // What another container would write at its places.
  if (chance.below(4) === 0) bytes.write('LUKS\xba\xbe\0\x02', 0, 'latin1');
  if (chance.below(4) === 0) bytes.write('LABELONE', 512, 'latin1');
  if (chance.below(8) === 0) bytes.write('XFSB', 0, 'latin1');
  const file = path.join(folder, `${name}.img`);
  writeFileSync(file, bytes);
  return file;
}

const digest = (file: string) => createHash('sha256').update(readFileSync(file)).digest('hex');

async function diagnose(file: string, why: string): Promise<string> {
  const before = digest(file);
  const spec = fixture.spec({
    action: 'diagnostics.collect',
    target: { disk: file },
    parameters: {},
  });
  const job = await jobs.start(spec, {});
  const end = await ended(job);
  const said = [...(['note', 'out', 'err'] as const)].map((channel) => output(job, channel));
  const all = JSON.stringify(end) + (await Promise.all(said)).join('');
  expect(['succeeded', 'failed'], why).toContain(end.outcome);
  expect(all, why).not.toContain(CANARY);
  expect(digest(file), why).toBe(before);
  await expect
    .poll(() => execFileSync('losetup', ['--associated', file]).toString(), { timeout: 10_000 })
    .toBe('');
  clear(file);
  return `${end.outcome} ${end.reason ?? ''}`;
}

describe(`hostile disks (seed ${chance.seed})`, () => {
  it(`of ${TREES} hostile systems and ${MUTATED} mutated file systems none gets out, and each job ends`, async () => {
    const outcomes = new Set<string>();
    const total = TREES + MUTATED;
    let next = 0;
    const work = async () => {
      for (let run = next++; run < total; run = next++) {
        const changes = Array.from({ length: 1 + chance.below(6) }, () => ({
          trait: chance.pick(Object.keys(traits)),
          file: chance.pick(FILES),
        }));
        const name = `disk-${run}`;
        const file =
          run < TREES
            ? image(name, tree(name, changes), chance.pick(['continue', 'panic']))
            : mutatedImage(name);
        const what = run < TREES ? JSON.stringify(changes) : 'mutated';
        const why = `INTERVENE_FUZZ_SEED=${chance.seed}, disk ${run}: ${what}`;
        outcomes.add(await diagnose(file, why));
      }
    };
    await Promise.all([work(), work()]);
    // No job was lost, or ended for a reason that nobody gave.
    expect([...outcomes].filter((outcome) => !/^succeeded|^failed [a-z_]+$/.test(outcome))).toEqual(
      [],
    );
    expect(await diagnose(image('plain', tree('plain', [])), 'a plain system')).toMatch(
      'succeeded',
    );
    const last = await jobs.start(fixture.command(['true']), {});
    expect((await ended(last)).outcome).toBe('succeeded');
    expect(readFileSync(secret, 'utf8')).toBe(CANARY);
  });

  it(`${SUPERBLOCKS} mutated superblocks are none, or have sizes that can be`, () => {
    const original = readFileSync(sound).subarray(SUPERBLOCK_OFFSET, SUPERBLOCK_OFFSET + 1024);
    expect(parseSuperblock(original)).toMatchObject({ uuid: ID, blockSize: 1024 });
    for (let run = 0; run < SUPERBLOCKS; run++) {
      const found = parseSuperblock(mutate(chance, original, [Buffer.alloc(8, 0xff)]));
      if (found === null) continue;
      const why = `INTERVENE_FUZZ_SEED=${chance.seed}, run ${run}`;
      const { blocks, blockSize, blocksPerGroup } = found;
      expect(Number.isSafeInteger(blocks * blockSize) && blocks > 0, why).toBe(true);
      expect(blockSize >= 1024 && blockSize <= 65_536 && blocksPerGroup > 0, why).toBe(true);
    }
  });
});
