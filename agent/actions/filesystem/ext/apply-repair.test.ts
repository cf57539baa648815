import { copyFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { itEach } from '../../../../test/fixtures/matrix.ts';
import { filesystemResult } from '../../../../proto/actions/filesystem.ts';
import {
  debugfs,
  leaveInJournal,
  makeDamagedExt4,
  makeExt4,
} from '../../../../test/fixtures/damaged-ext4.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { ActionFixture, type Trace } from '../testing/action-fixture.ts';
import { patchFile, sha256 } from '../testing/image-bytes.ts';

type Make = (image: string) => Promise<unknown>;

/** What is damaged, and in which words the plan or the result has to say so. */
const faults: [name: string, make: Make, says: RegExp][] = [
  ['ext4, inodes and a folder cleared', (image) => makeDamagedExt4(image), /lost\+found/],
  ['ext4 with large blocks', (image) => makeDamagedExt4(image, { blockSize: 4096 }), /lost\+found/],
  ['ext3', (image) => makeDamagedExt4(image, { type: 'ext3' }), /lost\+found/],
  ['ext2', (image) => makeDamagedExt4(image, { type: 'ext2' }), /lost\+found/],
  [
    'only a journal to replay',
    async (image) => {
      await makeExt4(image);
      await leaveInJournal(image, '/etc');
    },
    /The journal holds changes/,
  ],
  [
    'no superblock',
    async (image) => {
      await makeExt4(image);
      await patchFile(image, 1024, Buffer.alloc(1024));
    },
    /copy at block 8193/,
  ],
  [
    'no superblock and a journal to replay',
    async (image) => {
      await makeDamagedExt4(image);
      await patchFile(image, 1024, Buffer.alloc(1024));
    },
    /copy at block 8193/,
  ],
  [
    'a superblock with a wrong checksum',
    async (image) => {
      await makeExt4(image);
      await patchFile(image, 1024 + 0x78, Buffer.from('x'));
    },
    /copy at block 8193/,
  ],
  [
    'a broken group table',
    async (image) => {
      await makeExt4(image);
      await patchFile(image, 2048, Buffer.alloc(1024, 0x9c));
    },
    /copy at block 8193/,
  ],
  [
    'a broken group table without a copy',
    async (image) => {
      await makeExt4(image, { blockSize: 4096 });
      await patchFile(image, 4096, Buffer.alloc(32, 0x9c));
    },
    /a copy of the whole device/,
  ],
  [
    'a lost journal',
    async (image) => {
      await makeDamagedExt4(image);
      await debugfs(image, ['clri <8>']);
    },
    /The journal cannot be read/,
  ],
  [
    'errors recorded by the kernel',
    async (image) => {
      await makeExt4(image);
      await debugfs(image, ['ssv error_count 3', 'ssv state 3']);
    },
    /recorded 3 errors/,
  ],
  [
    'blocks that belong to two files',
    async (image) => {
      await makeExt4(image);
      const blocks = await debugfs(image, ['blocks /srv/shop/order-1'], 'read');
      await debugfs(image, [`sif /srv/shop/order-4 block[5] ${blocks.trim().split(/\s/)[0]}`]);
    },
    /Multiply-claimed/,
  ],
  [
    'quotas',
    async (image) => {
      await makeExt4(image, { arguments: ['-O', 'quota'] });
      await debugfs(image, ['clri /srv/shop']);
    },
    /QUOTA WARNING/,
  ],
];

describe('a repair', { timeout: 120_000 }, () => {
  let fixture: ActionFixture;
  let device: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    device = fixture.path('disk');
  });
  afterEach(() => fixture.close());

  itEach(1, faults)(
    'corrects, is found clean, has nothing more to do, and is undone: %s',
    async (_, make, says) => {
      await make(device);
      const before = await sha256(device);
      const { plan } = await fixture.plan({ device });
      const done = await fixture.apply(plan);
      expect(done).toMatchObject({ succeeded: true, reason: null });
      expect(done.result).toMatchObject({ outcome: 'corrected', exitStatus: 0 });
      expect(() => filesystemResult.parse(done.result)).not.toThrow();
      expect([...plan.findings, done.result.detail].join('\n')).toMatch(says);
      expect(done.notes).toContain('The repair did what the rehearsal had shown.');
      expect((await fixture.check({ device })).result.outcome).toBe('clean');
      expect((await fixture.plan({ device })).plan.steps).toEqual([]);
      const undone = await fixture.undo(done, { device });
      expect(undone).toMatchObject({ succeeded: true, reason: null });
      expect(undone.result.detail).toContain(`the digest sha256:${before} again`);
      expect(await sha256(device)).toBe(before);
    },
  );

  it('of a clean file system changes no byte', async () => {
    await makeExt4(device);
    const before = await sha256(device);
    const { plan } = await fixture.plan({ device });
    const done = await fixture.apply(plan);
    expect(done).toMatchObject({ succeeded: true, result: { outcome: 'clean', exitStatus: 0 } });
    expect(done.records).toEqual([]);
    expect(await sha256(device)).toBe(before);
  });

  it('has everything on disk, with digests in the journal, before it begins', async () => {
    await makeDamagedExt4(device);
    const before = await sha256(device);
    const { plan } = await fixture.plan({ device });
    const trace: Partial<Trace> = {};
    const onStep = async (step: string) => {
      if (step !== 'repair') return;
      expect(await sha256(device)).toBe(before);
      const saved = trace.records!.filter((record) => record.type === 'step_saved');
      expect(saved).toHaveLength(1);
      for (const { path, bytes, digest } of saved[0]!.backups) {
        expect((await stat(path)).size).toBe(bytes);
        expect(digest).toBe(`sha256:${await sha256(path)}`);
      }
      expect(saved[0]!.backups.map(({ path }) => path.split('/').at(-1))).toEqual([
        'metadata.qcow2',
        'blocks-before',
        'repair.json',
      ]);
    };
    const done = await fixture.apply(plan, { onStep }, trace);
    expect(done.records.map(({ type }) => type)).toEqual(
      Array.from({ length: 3 }, () => ['step_started', 'step_saved', 'step_ended']).flat(),
    );
    expect(await readdir(join(done.directory, 'scratch'))).toEqual([]);
  });

  it('can be undone by hand too', async () => {
    await makeDamagedExt4(device);
    const before = await sha256(device);
    const done = await fixture.apply((await fixture.plan({ device })).plan);
    const context = await fixture.bareContext();
    const undoFile = join(done.directory, 'backups', 'e2fsck.undo');
    const undone = await context.run(['e2undo', undoFile, device], { output: 'capture' });
    expect(undone.exitStatus).toBe(0);
    expect(await sha256(device)).toBe(before);
  });

  it('tells how far it is', async () => {
    await makeDamagedExt4(device);
    const { progress } = await fixture.apply((await fixture.plan({ device })).plan);
    for (const phase of ['repairing', 'verifying', 'digesting']) {
      const percents = progress.filter((entry) => entry.phase === phase).map((it) => it.percent!);
      expect(percents.at(-1)).toBe(100);
      expect(percents).toEqual(percents.toSorted((one, other) => one - other));
    }
  });

  it('is refused when the file system has changed since the plan', async () => {
    await makeDamagedExt4(device);
    const { plan } = await fixture.plan({ device });
    await debugfs(device, ['clri /home/anna']);
    const changed = await sha256(device);
    const trace: Partial<Trace> = {};
    await expect(fixture.apply(plan, {}, trace)).rejects.toMatchObject({
      reason: 'changed_since_plan',
    });
    expect(await sha256(device)).toBe(changed);
    await expect(stat(join(trace.directory!, 'backups'))).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('of a file system that was clean is refused when it is no more', async () => {
    await makeExt4(device);
    const { plan } = await fixture.plan({ device });
    await debugfs(device, ['clri /home/anna']);
    await expect(fixture.apply(plan)).rejects.toMatchObject({ reason: 'changed_since_plan' });
  });

  it.each([
    ['another file system', (image: string) => makeDamagedExt4(image)],
    ['another size', (image: string) => makeDamagedExt4(image, { mebibytes: 12 })],
  ])('is refused when there is %s now', async (_, make) => {
    await makeDamagedExt4(device);
    const { plan } = await fixture.plan({ device });
    await make(device);
    await expect(fixture.apply(plan)).rejects.toMatchObject({ reason: 'changed_since_plan' });
  });

  it('is refused when the tool would not do any more what the plan shows', async () => {
    await makeDamagedExt4(device);
    const before = await sha256(device);
    const { plan } = await fixture.plan({ device });
    const other = { ...plan, findings: plan.findings.slice(1) };
    await expect(fixture.apply(other)).rejects.toMatchObject({ reason: 'rehearsal_differs' });
    expect(await sha256(device)).toBe(before);
  });

  it('without a plan is refused', async () => {
    const { filesystemRepair } = await import('../index.ts');
    const done = filesystemRepair.apply(await fixture.bareContext(), null);
    await expect(done).rejects.toMatchObject({ reason: 'plan_missing' });
  });

  it('fails when errors are left after it, and says so', async () => {
    await makeDamagedExt4(device);
    const { plan } = await fixture.plan({ device });
    const worse = fixture.path('worse');
    await makeDamagedExt4(worse);
    // While the repair ends and before the second look, something damages the device again.
    const onStep = async (step: string) => {
      if (step === 'verify') await copyFile(worse, device);
    };
    const done = await fixture.apply(plan, { onStep });
    expect(done.succeeded).toBe(false);
    expect(done.reason).not.toBeNull();
    expect(done.result.outcome).not.toBe('corrected');
    expect(done.result.outcome).not.toBe('clean');
  });

  it('works on a loop device as on a file, and is refused when it is mounted meanwhile', async () => {
    const loops = await LoopFixture.create();
    try {
      const image = loops.path('image');
      await makeDamagedExt4(image);
      const before = await sha256(image);
      const loop = await loops.loop(image);
      const { plan } = await fixture.plan({ device: loop });
      const done = await fixture.apply(plan);
      expect(done.result.outcome).toBe('corrected');
      await fixture.undo(done, { device: loop });
      await loops.run('blockdev', '--flushbufs', loop);
      expect(await sha256(image)).toBe(before);
      await loops.mount('-o', 'ro,noload', loop);
      await expect(fixture.apply(plan)).rejects.toMatchObject({ reason: 'device_in_use' });
      expect(await sha256(image)).toBe(before);
    } finally {
      await loops.close();
    }
  });

  it('keeps a device from being mounted until the repair itself has it', async () => {
    const loops = await LoopFixture.create();
    try {
      const image = loops.path('image');
      await makeDamagedExt4(image);
      const loop = await loops.loop(image);
      const { plan } = await fixture.plan({ device: loop });
      let tried: unknown;
      const onStep = async (step: string) => {
        if (step === 'repair') tried = await loops.mount('-o', 'ro,noload', loop).catch((e) => e);
      };
      const done = await fixture.apply(plan, { onStep });
      expect(String((tried as Error).message)).toMatch(/already mounted|busy/);
      expect(done.result.outcome).toBe('corrected');
    } finally {
      await loops.close();
    }
  });
});
