import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PLAN_FILE } from '../../../agent/jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../../agent/jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../agent/jobs/job-spec.ts';
import type { Jobs } from '../../../agent/jobs/job.ts';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import { sh, tell } from '../agent-guest/telling.ts';
import { KEY, ROOT_ID, WRONG_KEY } from './storage-facts.ts';

/**
 * What is tried in the guest: an agent's jobs on a system whose root lies on LVM on LUKS on RAID. Each `tell`
 * is a line for the test that started the guest; this program judges nothing.
 */

const MIRROR = ['/dev/vdb', '/dev/vdc'];
const [DATA, DATA_2] = ['/dev/vdd', '/dev/vde'];
const POINT = '/run/by-hand';

/** By hand, as an administrator does. */
function openByHand<T>(body: () => T): T {
  sh(`mdadm --assemble --run /dev/md0 ${MIRROR.join(' ')}`);
  sh('cryptsetup.real open --key-file=- /dev/md0 by-hand; vgchange --activate y shop', KEY);
  sh(`mkdir -p ${POINT}; mount /dev/shop/root ${POINT}`);
  try {
    return body();
  } finally {
    sh(`umount ${POINT}; vgchange --activate n shop`);
    sh('cryptsetup.real close by-hand; mdadm --stop /dev/md0');
  }
}

function makeSystem(): void {
  // There is no udev to make its device nodes.
  writeFileSync('/etc/lvm/lvmlocal.conf', 'activation { udev_sync=0 udev_rules=0 }\n');
  sh(
    `mdadm --create /dev/md0 --run --assume-clean --level=1 --raid-devices=2 --homehost=shop ${MIRROR.join(' ')}`,
  );
  const fast = '--pbkdf pbkdf2 --pbkdf-force-iterations 1000';
  sh(`cryptsetup luksFormat --batch-mode ${fast} --key-file=- /dev/md0`, KEY);
  sh('cryptsetup open --key-file=- /dev/md0 by-hand', KEY);
  sh('pvcreate /dev/mapper/by-hand; vgcreate shop /dev/mapper/by-hand');
  sh('lvcreate --wipesignatures n --name root --size 64M shop');
  sh(`mkfs.ext4 -q -U ${ROOT_ID} /dev/shop/root`);
  sh(`mkdir -p ${POINT}; mount /dev/shop/root ${POINT}`);
  sh(`cd ${POINT}; mkdir -p etc bin boot data dev proc run sys tmp
    echo '127.0.0.1 localhost' > etc/hosts; echo shop-2 > etc/hostname
    echo 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"' > etc/os-release`);
  const lines = [
    '/dev/mapper/shop-root / ext4 defaults 0 1',
    'UUID=99999999-2222-4333-8444-555555555502 /data ext4 defaults 0 2',
    '',
  ];
  writeFileSync(`${POINT}/etc/fstab`, lines.join('\n'));
  sh(
    `umount ${POINT}; vgchange --activate n shop; cryptsetup close by-hand; mdadm --stop /dev/md0`,
  );
  // Of a group of two disks the root of nothing; the second is a disk that can be missing.
  sh(`pvcreate ${DATA} ${DATA_2}; vgcreate data ${DATA} ${DATA_2}`);
  sh('lvcreate --wipesignatures n --name one --extents 4 data; vgchange --activate n data');
}

/** Writes down how cryptsetup is called, in the folder of the job, and calls it. */
function watchCalls(): void {
  renameSync('/usr/sbin/cryptsetup', '/usr/sbin/cryptsetup.real');
  const lines = [
    '#!/bin/sh',
    '{ tr "\\0" "\\n" < /proc/$$/cmdline; tr "\\0" "\\n" < /proc/$$/environ; } >> "$(echo /tmp/ivj-*/jobs/*)/called"',
    'exec /usr/sbin/cryptsetup.real "$@"',
    '',
  ];
  writeFileSync('/usr/sbin/cryptsetup', lines.join('\n'));
  chmodSync('/usr/sbin/cryptsetup', 0o755);
}

function digest(disks: readonly string[]): string {
  const hash = createHash('sha256');
  for (const disk of disks) {
    // Past what the kernel remembers of the disk.
    hash.update(
      execFileSync('dd', [`if=${disk}`, 'bs=1M', 'iflag=direct', 'status=none'], {
        maxBuffer: 2 ** 29,
      }),
    );
  }
  return hash.digest('hex').slice(0, 16);
}

/** What the kernel has open of LVM, LUKS, RAID and loop devices. */
function left(): string[] {
  return readdirSync('/sys/block').filter(
    (name) =>
      /^(?:dm-|md)\d+/.test(name) ||
      (name.startsWith('loop') && readdirSync(`/sys/block/${name}`).includes('loop')),
  );
}

class Guest {
  readonly fixture: JobsFixture;
  jobs: Jobs;

  private constructor(fixture: JobsFixture) {
    this.fixture = fixture;
    this.jobs = this.agent();
  }

  static async start(): Promise<Guest> {
    const options = {
      programDirectory: '/lab',
      runnerEntry: '/lab/runner.mjs',
      startWithinMs: 300_000,
    };
    const guest = new Guest(await JobsFixture.create(options));
    await guest.jobs.load();
    return guest;
  }

  agent(): Jobs {
    return this.fixture.agent();
  }

  async start(change: Partial<JobSpec>, key?: string) {
    const spec = this.fixture.spec({
      ...{ target: { disk: 'all' }, parameters: {}, maxRuntimeSeconds: 600 },
      ...change,
    });
    return this.jobs.start(spec, key === undefined ? {} : { 'disk-key': key });
  }

  async order(what: string, change: Partial<JobSpec>, key?: string): Promise<string> {
    const before = digest(MIRROR);
    const job = await this.start(change, key);
    const { outcome, reason, result } = await ended(job);
    const { findings = [], ...rest } = (result ?? {}) as unknown as { findings?: Finding[] };
    tell(what, {
      ...{ outcome, reason, result: rest },
      findings: findings.map(({ rule, subject, suggestion }) => [
        rule,
        subject,
        suggestion?.action ?? null,
      ]),
      said: (await output(job, 'note')).toString(),
      ...{ unchanged: digest(MIRROR) === before, left: left() },
    });
    return job.id;
  }

  async plan(what: string, key?: string): Promise<string> {
    const job = await this.order(what, { action: 'boot.repair-fstab', mode: 'plan' }, key);
    const bytes = await readFile(`${this.fixture.directory(job)}/${PLAN_FILE}`).catch(() => null);
    tell(`${what}: its text`, {
      plan: bytes === null ? null : (JSON.parse(bytes.toString()) as object),
    });
    return bytes?.toString('base64') ?? '';
  }
}

/** Resolves to the plan, which is good again after the undo. */
async function repairIt(guest: Guest): Promise<string> {
  const fstab = () => openByHand(() => readFileSync(`${POINT}/etc/fstab`, 'utf8'));
  const repair = { action: 'boot.repair-fstab' };
  const broken = fstab();
  const plan = await guest.plan('a plan', KEY);
  const applied = await guest.order('the repair', { ...repair, plan }, KEY);
  tell('the table after the repair', { text: fstab() });
  await guest.order('the undo', { ...repair, mode: 'undo', undoes: applied }, KEY);
  tell('the table after the undo', { same: fstab() === broken });
  return plan;
}

/** The runner dies while everything is open, and the agent with it; another agent comes. */
async function killIt(guest: Guest): Promise<void> {
  const job = await guest.start({ action: 'diagnostics.collect' }, KEY);
  while (!sh('dmsetup ls').includes('intervene-')) await sleep(5);
  await guest.jobs.close();
  process.kill(guest.fixture.runnerPid(job.id), 'SIGKILL');
  while (sh('losetup --list --noheadings --output NAME').trim() === '') await sleep(5);
  tell('after the kill', { left: left() });
  guest.jobs = guest.agent();
  await guest.jobs.load();
  const { outcome } = await ended(guest.jobs.get(job.id)!);
  for (let tries = 0; left().length > 0 && tries < 600; tries++) await sleep(100);
  tell('after the next agent', { outcome, left: left() });
}

async function main(): Promise<void> {
  makeSystem();
  watchCalls();
  const guest = await Guest.start();
  const diagnose = { action: 'diagnostics.collect' };
  await guest.order('a look without a key', diagnose);
  await guest.order('a look with a wrong key', diagnose, WRONG_KEY);
  await guest.order('a look', diagnose, `${KEY}\n`);
  const plan = await repairIt(guest);
  await killIt(guest);
  await guest.order('a look at one disk of a group', { ...diagnose, target: { disk: DATA } });
  sh('mdadm --zero-superblock /dev/vdc');
  await guest.order('a look with a disk missing', diagnose, KEY);
  await guest.plan('a plan with a disk missing', KEY);
  const late = { action: 'boot.repair-fstab', plan };
  await guest.order('a repair with a disk missing', late, KEY);
  const search = `grep -rlF '${KEY}' ${guest.fixture.state} /run /tmp /var/log || true`;
  const calls = sh(`grep -rl cryptsetup ${guest.fixture.state} --include=called | wc -l`);
  tell('the key', { in: sh(search).split('\n').filter(Boolean), calls: Number(calls) });
  await guest.fixture.close();
}

await main();
