import { appendFile, cp, mkdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { debugfs, makeDamagedExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { WHOLE_DIGEST_MAX_BYTES } from '../device-digest.ts';
import { readClusters } from './qcow2-clusters.ts';
import { SavedBlocks } from '../saved-blocks.ts';
import { ActionFixture } from '../testing/action-fixture.ts';
import { patchFile, readBytes, sha256 } from '../testing/image-bytes.ts';

describe('the undo of a repair', { timeout: 120_000 }, () => {
  let fixture: ActionFixture;
  let loops: LoopFixture;
  let device: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    loops = await LoopFixture.create();
    device = fixture.path('disk');
  });
  afterEach(async () => {
    await loops.close();
    await fixture.close();
  });

  async function repaired(parameters = {}) {
    await makeDamagedExt4(device);
    const before = await sha256(device);
    const { plan } = await fixture.plan({ device, ...parameters });
    return { before, done: await fixture.apply(plan) };
  }

  it('a second time finds that there is nothing left to put back', async () => {
    const { before, done } = await repaired();
    const first = await fixture.undo(done, { device });
    expect(first.result).toMatchObject({ outcome: 'restored', problems: 0 });
    expect(first.result.detail).toContain('The problems the repair had corrected are back too.');
    const again = await fixture.undo(done, { device });
    expect(again).toMatchObject({ succeeded: true, result: { outcome: 'restored' } });
    expect(again.records).toEqual([]);
    expect(again.result.detail).toContain('as it was before the repair already');
    expect(await sha256(device)).toBe(before);
  });

  it('that was cut off goes on', async () => {
    const { before, done } = await repaired();
    const saved = await SavedBlocks.open(join(done.directory, 'backups', 'blocks-before'));
    // The first half of what an undo writes, and half of a block.
    const written = saved.ranges.slice(0, Math.ceil(saved.ranges.length / 2));
    for await (const { offset, bytes } of saved.pieces()) {
      if (written.some(([start]) => start === offset)) await patchFile(device, offset, bytes);
      else await patchFile(device, offset, bytes.subarray(0, 512));
    }
    await saved.close();
    const undone = await fixture.undo(done, { device });
    expect(undone.records.map(({ type }) => type)).toContain('step_saved');
    expect(await sha256(device)).toBe(before);
  });

  it('is refused when the file system was mounted and written since', async () => {
    const { done } = await repaired();
    const point = await loops.mount('-o', 'loop', device);
    await writeFile(join(point, 'new-order'), 'bought something');
    await loops.run('umount', point);
    const used = await sha256(device);
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({ reason: 'changed_since' });
    expect(await sha256(device)).toBe(used);
  });

  it('is refused when only the content of one file was changed since', async () => {
    const { done } = await repaired();
    const block = Number.parseInt(
      await debugfs(device, ['blocks /srv/shop'], 'read').catch(() => ''),
      10,
    );
    const file = Number.parseInt(await debugfs(device, ['blocks /home/anna/notes'], 'read'), 10);
    expect(Number.isNaN(block)).toBe(true);
    await patchFile(device, file * 1024, Buffer.from('dear diary'));
    const used = await sha256(device);
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({ reason: 'changed_since' });
    expect(await sha256(device)).toBe(used);
  });

  it.runIf(isWhole)(
    'is refused when another repair came after it, until that one is undone',
    async () => {
      const { before, done } = await repaired();
      await debugfs(device, ['clri /etc/fstab']);
      const between = await sha256(device);
      const second = await fixture.apply((await fixture.plan({ device })).plan);
      await expect(fixture.undo(done, { device })).rejects.toMatchObject({
        reason: 'changed_since',
      });
      await fixture.undo(second, { device });
      expect(await sha256(device)).toBe(between);
      expect(between).not.toBe(before);
    },
  );

  it('is refused while the device is in use, and when it is another one', async () => {
    const { done } = await repaired();
    const repairedDigest = await sha256(device);
    const loop = await loops.loop(device);
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({ reason: 'device_in_use' });
    await expect(fixture.undo(done, { device: loop })).rejects.toMatchObject({
      reason: 'changed_since',
    });
    await loops.run('losetup', '--detach', loop);
    const { size: bytes } = await stat(device);
    await appendFile(device, 'longer');
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({ reason: 'changed_since' });
    await truncate(device, bytes);
    expect(await sha256(device)).toBe(repairedDigest);
  });

  it.runIf(isWhole)('is refused when a backup is damaged or gone', async () => {
    const { done } = await repaired();
    const digest = await sha256(device);
    const blocks = join(done.directory, 'backups', 'blocks-before');
    const bytes = await readFile(blocks);
    await patchFile(blocks, bytes.length - 5, Buffer.from('x'));
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({
      reason: 'backup_damaged',
    });
    await rm(blocks);
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({
      reason: 'backup_damaged',
    });
    expect(await sha256(device)).toBe(digest);
  });

  it('works from the folder the order named, one subfolder for each job', async () => {
    const backupDirectory = fixture.path('kept');
    await mkdir(backupDirectory);
    const { before, done } = await repaired({ backupDirectory });
    await rm(done.directory, { recursive: true });
    await fixture.undo(done, { device, backupDirectory });
    expect(await sha256(device)).toBe(before);
  });

  it('finds the backups of the job’s own folder where that is now', async () => {
    const { before, done } = await repaired();
    const moved = fixture.path('moved');
    await cp(done.directory, moved, { recursive: true });
    await rm(done.directory, { recursive: true });
    await fixture.undo({ ...done, directory: moved }, { device });
    expect(await sha256(device)).toBe(before);
  });

  it('of a job that never came to write has nothing to put back', async () => {
    await makeDamagedExt4(device);
    const before = await sha256(device);
    const undone = await fixture.undo(
      { job: 'x', directory: fixture.folder, records: [] },
      { device },
    );
    expect(undone.succeeded).toBe(true);
    expect(undone.result.detail).toContain('had not begun to write');
    expect(await sha256(device)).toBe(before);
  });

  describe('on a device too large to be read whole', () => {
    const mebibytes = WHOLE_DIGEST_MAX_BYTES / 1024 / 1024 + 64;

    it('puts back and proves every block, and all other metadata', async () => {
      await makeDamagedExt4(device, { mebibytes, blockSize: 4096 });
      const { plan } = await fixture.plan({ device });
      const done = await fixture.apply(plan);
      const folder = join(done.directory, 'backups');
      const record = JSON.parse(await readFile(join(folder, 'repair.json'), 'utf8')) as object;
      expect(record).toMatchObject({ wholeDigest: null, outsideDigest: null });
      const undone = await fixture.undo(done, { device });
      expect(undone.result.detail).toContain('every block the repair overwrote is as it was');
      for await (const { offset, bytes } of readClusters(join(folder, 'metadata.qcow2'))) {
        expect(bytes.equals(await readBytes(device, offset, bytes.length))).toBe(true);
      }
      expect((await fixture.plan({ device })).plan.preconditions).toEqual(plan.preconditions);
    });

    it('is refused when metadata that the repair had not touched was changed since', async () => {
      await makeDamagedExt4(device, { mebibytes, blockSize: 4096 });
      const done = await fixture.apply((await fixture.plan({ device })).plan);
      const folder = join(done.directory, 'backups');
      const saved = await SavedBlocks.open(join(folder, 'blocks-before'));
      await saved.close();
      for await (const { offset, bytes } of readClusters(join(folder, 'metadata.qcow2'))) {
        const isTouched = saved.ranges.some(
          ([start, length]) => start < offset + bytes.length && offset < start + length,
        );
        if (isTouched) continue;
        await patchFile(device, offset, Buffer.from('changed'));
        break;
      }
      await expect(fixture.undo(done, { device })).rejects.toMatchObject({
        reason: 'changed_since',
      });
    });
  });
});
