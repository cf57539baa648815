import { stat, writeFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { ActionFixture } from '../testing/action-fixture.ts';
import { patchFile, setSuperblockBits, sha256 } from '../testing/image-bytes.ts';

describe('a file system that must not be touched', () => {
  let fixture: ActionFixture;
  let loops: LoopFixture;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    loops = await LoopFixture.create();
  });
  afterEach(async () => {
    await loops.close();
    await fixture.close();
  });

  /** Checking and planning are refused alike, before any tool was told to open it, and change nothing. */
  async function refused(device: string, reason: string, file = device): Promise<string> {
    const before = await sha256(file);
    await expect(fixture.check({ device })).rejects.toMatchObject({ reason });
    const error = await fixture.plan({ device }).catch((thrown: Error) => thrown);
    expect(error).toMatchObject({ reason });
    expect(await sha256(file)).toBe(before);
    return (error as Error).message;
  }

  it('because it is mounted, as a device', async () => {
    const image = await loops.ext4('image');
    const device = await loops.loop(image);
    const point = await loops.mount('-o', 'ro,noload', device);
    expect(await refused(device, 'device_in_use', image)).toContain(`mounted at ${point}`);
  });

  it('because it is mounted, as an image file behind a loop device', async () => {
    const image = await loops.ext4('image');
    const device = await loops.loop(image);
    await loops.mount('-o', 'ro,noload', device);
    expect(await refused(image, 'device_in_use')).toContain(`behind ${device}, and it is mounted`);
  });

  it('because it is behind a loop device whose cache knows nothing of changes to the file', async () => {
    const image = await loops.ext4('image');
    await loops.loop(image);
    await refused(image, 'device_in_use');
  });

  it('because it is not one of ext', async () => {
    const device = await loops.file('swap', 1_048_576);
    await loops.run('mkswap', device);
    expect(await refused(device, 'filesystem_not_supported')).toContain('holds swap');
  });

  it('because it is a disk with partitions', async () => {
    const device = await loops.file('disk', 4_194_304);
    const table = Buffer.alloc(512);
    // One Linux partition from sector 2048 on, and the signature of a partition table.
    table.set([0x80, 0, 0, 0, 0x83, 0, 0, 0], 446);
    table.writeUInt32LE(2048, 454);
    table.writeUInt32LE(4096, 458);
    table.set([0x55, 0xaa], 510);
    await patchFile(device, 0, table);
    expect(await refused(device, 'filesystem_not_supported')).toContain('name one of them');
  });

  it('because it carries the signatures of two file systems', async () => {
    const device = fixture.path('disk');
    await makeExt4(device);
    // What mksquashfs writes where ext leaves room for a boot sector.
    await patchFile(device, 0, Buffer.from('hsqs'));
    await patchFile(device, 28, Buffer.from([4, 0]));
    await refused(device, 'ambiguous_signatures');
  });

  it('because it is one half of a mirror that only looks like a file system', async () => {
    const device = fixture.path('disk');
    await makeExt4(device);
    // Metadata of version 1.0 lies 8 KiB or a little more before the end.
    const at = Math.floor(((await stat(device)).size - 8192) / 4096) * 4096;
    const member = Buffer.alloc(256);
    member.writeUInt32LE(0xa92b4efc, 0);
    member.writeUInt32LE(1, 4);
    member.write('0123456789abcdef', 16, 'latin1');
    member.writeBigUInt64LE(BigInt(at / 512), 0x90);
    await patchFile(device, at, member);
    expect(await refused(device, 'filesystem_not_supported')).toContain('linux_raid_member');
  });

  it('because there is none', async () => {
    await refused(await loops.file('empty', 4_194_304), 'no_filesystem');
    await refused(await loops.file('tiny', 100), 'no_filesystem');
  });

  it('because it ends behind its device', async () => {
    const device = fixture.path('disk');
    await makeExt4(device);
    await loops.run('truncate', '-s', '12M', device);
    expect(await refused(device, 'filesystem_truncated')).toContain('16777216 bytes');
  });

  it('because its journal is on another disk', async () => {
    const journal = await loops.file('journal', 8 * 1024 * 1024);
    await loops.run('mke2fs', '-q', '-F', '-O', 'journal_dev', '-b', '1024', journal);
    const journalDevice = await loops.loop(journal);
    const device = await loops.file('disk', 16 * 1024 * 1024);
    const words = ['-q', '-F', '-t', 'ext4', '-b', '1024', '-J', `device=${journalDevice}`, device];
    await loops.run('mke2fs', ...words);
    await refused(device, 'journal_elsewhere');
    await refused(journal, 'device_in_use');
  });

  it('because it is not there', async () => {
    const device = fixture.path('nowhere');
    await expect(fixture.check({ device })).rejects.toMatchObject({ reason: 'device_missing' });
    await writeFile(fixture.path('a'), '');
    await expect(fixture.plan({ device: fixture.folder })).rejects.toMatchObject({
      reason: 'not_a_device',
    });
  });

  it('because several machines may use it: it is checked, but not repaired', async () => {
    const device = await loops.file('disk', 8 * 1024 * 1024);
    await loops.run('mke2fs', '-q', '-F', '-t', 'ext4', '-O', 'mmp', device);
    const before = await sha256(device);
    expect((await fixture.check({ device })).result.outcome).toBe('clean');
    await expect(fixture.plan({ device })).rejects.toMatchObject({
      reason: 'multi_mount_protection',
    });
    expect(await sha256(device)).toBe(before);
  });

  it('because the tool is too old for it', async () => {
    const device = fixture.path('disk');
    await makeExt4(device);
    await setSuperblockBits(device, 0x60, 0x8000_0000);
    const before = await sha256(device);
    await expect(fixture.plan({ device })).rejects.toMatchObject({ reason: 'tool_too_old' });
    expect(await sha256(device)).toBe(before);
  });
});
