import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { FileRepairResult } from '../../../proto/actions/file-repair-result.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { FaultDisk, imageDigest, type MountedSystem } from '../../../test/lab/index.ts';
import { PLAN_FILE } from '../../jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import type { Jobs } from '../../jobs/job.ts';

const LIMIT_MS = 600_000;

let fixture: JobsFixture;
let jobs: Jobs;
let disk: FaultDisk;
beforeAll(async () => {
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
}, LIMIT_MS);
afterAll(() => fixture.close());
beforeEach(async () => {
  disk = await FaultDisk.copy('bios-gpt');
}, LIMIT_MS);
afterEach(() => disk.close());

async function order(change: Partial<JobSpec>) {
  const spec = {
    action: 'bootloader.repair',
    target: { disk: disk.image },
    parameters: {},
    maxRuntimeSeconds: 900,
    ...change,
  };
  const job = await jobs.start(fixture.spec(spec), {});
  const { outcome, reason, result } = await ended(job);
  const said = (await output(job, 'note')).toString() + (await output(job, 'err')).toString();
  return {
    id: job.id,
    outcome,
    reason,
    said,
    result: result as unknown as FileRepairResult | null,
  };
}

async function plan(parameters: JobSpec['parameters'] = {}) {
  const job = await order({ mode: 'plan', parameters });
  expect([job.outcome, job.reason], job.said).toEqual(['succeeded', null]);
  const bytes = await readFile(join(fixture.directory(job.id), PLAN_FILE));
  return {
    bytes: bytes.toString('base64'),
    steps: (JSON.parse(bytes.toString('utf8')) as Plan).steps.map(({ id }) => id),
  };
}

/** What is in /boot and in the boot sectors: content, mode and owner. */
async function bootState(): Promise<string[]> {
  const head = (await disk.readBytes(0, 512)).toString('hex');
  const lines: string[] = [];
  const walk = (system: MountedSystem, path: string): void => {
    for (const name of readdirSync(system.path(path)).toSorted()) {
      const own = `${path}/${name}`;
      const { mode, uid, gid } = lstatSync(system.path(own));
      const content = (mode & 0o170000) === 0o100000 ? readFileSync(system.path(own)) : '';
      const hash = createHash('sha256').update(content).digest('hex');
      lines.push(`${own} ${mode.toString(8)} ${uid}:${gid} ${hash}`);
      if ((mode & 0o170000) === 0o040000) walk(system, own);
    }
  };
  await disk.inside(async (system) => walk(system, 'boot'));
  return [head, ...lines];
}

async function expectRepairedAndPutBack(steps: string[]): Promise<void> {
  const before = await imageDigest(disk.image);
  const planned = await plan();
  expect(planned.steps).toEqual(['save', ...steps, 'verify']);
  expect(await imageDigest(disk.image)).toBe(before);
  const was = await bootState();
  const done = await order({ plan: planned.bytes });
  expect([done.outcome, done.result?.outcome], done.said).toEqual(['succeeded', 'repaired']);
  expect((await plan()).steps).toEqual([]);
  const undone = await order({ mode: 'undo', undoes: done.id });
  expect([undone.reason, undone.result?.outcome], undone.said).toEqual([null, 'restored']);
  expect(await bootState()).toEqual(was);
}

describe('what starts a system on a disk', () => {
  it(
    'is left alone where nothing is wrong',
    async () => {
      expect((await plan()).steps).toEqual([]);
    },
    LIMIT_MS,
  );

  it(
    'gets its boot code back',
    async () => {
      await disk.writeBytes(0, Buffer.alloc(440));
      await expectRepairedAndPutBack(['loader']);
    },
    LIMIT_MS,
  );

  it(
    'gets its core image back',
    async () => {
      const code = await disk.readBytes(0, 512);
      await disk.writeBytes(Number(code.readBigUInt64LE(0x5c)) * 512, Buffer.alloc(64 * 512));
      await expectRepairedAndPutBack(['loader']);
    },
    LIMIT_MS,
  );

  it(
    'gets a core image that can read the partition table',
    async () => {
      const core = await disk.inside(async (system) => {
        const words = ['--prefix=(,gpt2)/boot/grub', '--output=/tmp/core.img', 'biosdisk', 'ext2'];
        await system.ok(['grub-mkimage', '--format=i386-pc', ...words]);
        return readFileSync(system.path('tmp/core.img'));
      });
      // As grub-bios-setup(8) lays it down: the list of its sectors, and the length of the redundancy.
      const placed = Buffer.alloc((Math.ceil(core.length / 512) + 1) * 512);
      core.copy(placed);
      const { offset } = disk.partition('bios-boot');
      placed.writeBigUInt64LE(BigInt(offset / 512 + 1), 0x1f4);
      placed.writeUInt16LE(placed.length / 512 - 1, 0x1fc);
      placed.writeUInt32LE(placed.length - core.length, 512 + 0x10);
      await disk.writeBytes(offset, placed);
      await expectRepairedAndPutBack(['loader']);
      expect((await disk.readBytes(offset, placed.length)).equals(placed)).toBe(true);
    },
    LIMIT_MS,
  );

  it(
    'gets a menu that names its own root, and an initramfs that is whole',
    async () => {
      await disk.inside(async (system) => {
        system.edit('boot/grub/grub.cfg', (text) =>
          text.replaceAll(/root=UUID=[\w-]+/g, 'root=UUID=deadbeef-0000-4000-8000-000000000000'),
        );
        const [initramfs] = (await system.ok(['sh', '-c', 'ls /boot/initrd.img-*']))
          .trim()
          .split('\n');
        truncateSync(system.path(initramfs!.slice(1)), 4 * 1024 * 1024);
        // Of this machine's drivers alone it would be of no use to its own.
        system.edit('etc/initramfs-tools/initramfs.conf', (text) =>
          text.replace('MODULES=most', 'MODULES=dep'),
        );
        system.write('etc/initramfs-tools/conf.d/driver-policy', 'MODULES="dep"\n');
      });
      await expectRepairedAndPutBack(['initramfs', 'config']);
    },
    LIMIT_MS,
  );

  it(
    'is put back where the new one does not hold',
    async () => {
      await disk.inside((system) => {
        rmSync(system.path('boot/grub/grub.cfg'));
        writeFileSync(system.path('etc/grub.d/10_linux'), '#!/bin/sh\nexit 0\n');
      });
      const was = await bootState();
      const done = await order({ plan: (await plan()).bytes });
      expect([done.outcome, done.result?.outcome]).toEqual(['failed', 'rolled_back']);
      expect(done.said).toContain('grub.cfg starts no kernel');
      expect(await bootState()).toEqual(was);
    },
    LIMIT_MS,
  );

  it(
    'is not put back over what somebody changed since',
    async () => {
      await disk.inside(async (system) => rmSync(system.path('boot/grub/grub.cfg')));
      const done = await order({ plan: (await plan()).bytes });
      await disk.inside(async (system) => writeFileSync(system.path('boot/vmlinuz-9.9'), 'new'));
      const was = await bootState();
      const undone = await order({ mode: 'undo', undoes: done.id });
      expect([undone.outcome, undone.reason]).toEqual(['failed', 'changed_since']);
      expect(await bootState()).toEqual(was);
    },
    LIMIT_MS,
  );
});
