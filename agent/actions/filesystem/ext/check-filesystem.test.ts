import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  debugfs,
  leaveInJournal,
  makeDamagedExt4,
  makeExt4,
} from '../../../../test/fixtures/damaged-ext4.ts';
import { filesystemResult } from '../../../../proto/actions/filesystem.ts';
import { ActionFixture } from '../testing/action-fixture.ts';
import { patchFile, readBytes, setSuperblockBits, sha256 } from '../testing/image-bytes.ts';

const YEAR = 365 * 24 * 3600;

describe('a check of a file system', () => {
  let fixture: ActionFixture;
  let device: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    device = fixture.path('disk');
  });
  afterEach(() => fixture.close());

  /** Checks, and makes sure that not one byte was changed and that the result is what was declared. */
  async function check() {
    const before = await sha256(device);
    const done = await fixture.check({ device });
    expect(await sha256(device)).toBe(before);
    expect(() => filesystemResult.parse(done.result)).not.toThrow();
    return done;
  }

  it.each(['ext2', 'ext3', 'ext4'] as const)('finds a healthy %s clean', async (type) => {
    await makeExt4(device, { type });
    const done = await check();
    expect(done).toMatchObject({ succeeded: true, reason: null });
    expect(done.result).toMatchObject({
      outcome: 'clean',
      device,
      filesystem: type,
      problems: 0,
      examples: [],
      exitStatus: 0,
    });
    expect(done.commands.at(-1)).toEqual(['e2fsck', '-fn', '-C', '3', device]);
  });

  it('finds errors: the job could look, and the outcome says what it saw', async () => {
    await makeExt4(device);
    await debugfs(device, ['clri /srv/shop', 'clri /home/anna/letter']);
    const done = await check();
    expect(done).toMatchObject({ succeeded: true, reason: null });
    expect(done.result).toMatchObject({ outcome: 'errors_left', exitStatus: 4 });
    expect(done.result.problems).toBeGreaterThan(5);
    expect(done.result.examples[0]).toContain("Entry 'shop' in /srv");
    expect(done.notes).toContain('Finding: e2fsck found errors.');
    expect(done.log).toContain('Pass 5');
  });

  it('tells how far it is', async () => {
    await makeExt4(device);
    const { progress } = await check();
    const percents = progress.map(({ percent }) => percent!);
    expect(percents.at(-1)).toBe(100);
    expect(percents).toEqual(percents.toSorted((one, other) => one - other));
  });

  describe('with a journal that was not replayed', () => {
    it('looks at a replayed copy, where e2fsck alone would see errors that are none', async () => {
      await makeExt4(device);
      await leaveInJournal(device, '/etc');
      const done = await check();
      expect(done.result).toMatchObject({ outcome: 'clean', problems: 0 });
      expect(done.result.detail).toContain('in a copy after its journal was replayed');
      expect(done.result.detail).toContain('The journal holds changes');
      expect(done.commands).toContainEqual([
        'e2fsck',
        '-y',
        '-E',
        'journal_only',
        '-C',
        '3',
        'copy',
      ]);
    });

    it('finds the errors that a replay does not heal', async () => {
      await makeDamagedExt4(device);
      const done = await check();
      expect(done.result.outcome).toBe('errors_left');
      expect(done.result.examples.join()).not.toContain('inode 12');
    });

    it('does not take a journal for replayed that cannot be', async () => {
      await makeDamagedExt4(device);
      await debugfs(device, ['clri <8>']);
      const done = await check();
      expect(done.result.outcome).toBe('errors_left');
      expect(done.result.detail).toContain('The journal cannot be replayed.');
      expect(done.result.examples[0]).toContain('Superblock has an invalid journal');
    });
  });

  it('counts errors that the kernel has recorded, although e2fsck exits with 0', async () => {
    await makeExt4(device);
    await debugfs(device, ['ssv error_count 3', 'ssv state 3']);
    const { result } = await check();
    expect(result).toMatchObject({ outcome: 'errors_left', problems: 1, exitStatus: 0 });
    expect(result.detail).toContain('recorded 3 errors');
    expect(result.detail).toContain('health of the disk');
  });

  it('finds a lost superblock, and looks on with a copy of it', async () => {
    await makeExt4(device);
    await patchFile(device, 1024, Buffer.alloc(1024));
    const { result, commands } = await check();
    expect(result.outcome).toBe('errors_left');
    expect(result.examples[0]).toContain('the copy at block 8193 is used instead');
    expect(commands.at(-1)).toEqual([
      'e2fsck',
      '-fn',
      '-C',
      '3',
      '-b',
      '8193',
      '-B',
      '1024',
      device,
    ]);
  });

  it('says that there are errors where damage keeps e2fsck from looking on', async () => {
    await makeDamagedExt4(device);
    await patchFile(device, 1024, Buffer.alloc(1024));
    const done = await check();
    expect(done.succeeded).toBe(true);
    expect(done.result).toMatchObject({ outcome: 'errors_left', exitStatus: 12 });
    expect(done.result.detail).toContain('could not look on');
  });

  it('takes no stamp for an error because this machine does not know the time', async () => {
    await makeExt4(device);
    const ahead = Math.floor(Date.now() / 1000) + YEAR;
    await debugfs(device, [`ssv mtime @${ahead}`, `ssv wtime @${ahead}`]);
    expect((await check()).result).toMatchObject({ outcome: 'clean', problems: 0 });
  });

  it('takes no file name for a word of the tool', async () => {
    await makeExt4(device);
    const names = ['Get a newer version of e2fsck!', 'Input/output error'];
    await debugfs(
      device,
      names.map((name) => `symlink "/srv/${name}" x`),
    );
    await debugfs(
      device,
      names.map((name) => `clri "/srv/${name}"`),
    );
    expect(await check()).toMatchObject({ succeeded: true, result: { outcome: 'errors_left' } });
  });

  describe('with features this e2fsck does not know', () => {
    it.each([
      ['an incompatible one', 0x60],
      ['a read-only compatible one', 0x64],
      ['a compatible one', 0x5c],
    ])('says that the tool is too old: %s', async (_, at) => {
      await makeExt4(device);
      await setSuperblockBits(device, at, 0x8000_0000);
      const done = await check();
      expect(done).toMatchObject({ succeeded: false, reason: 'tool_too_old' });
      expect(done.result.outcome).toBe('tool_too_old');
      expect(done.result.examples.join()).toMatch(/FEATURE_[CIR]31/);
    });

    it('says so of a newer revision too', async () => {
      await makeExt4(device);
      await debugfs(device, ['ssv rev_level 9']);
      expect((await check()).result.outcome).toBe('tool_too_old');
    });

    it('says so of a journal too', async () => {
      await makeDamagedExt4(device);
      const block = Number((await debugfs(device, ['bmap <8> 0'], 'read')).trim());
      const header = await readBytes(device, block * 1024, 1024);
      header.writeUInt32BE((header.readUInt32BE(0x28) | 0x8000_0000) >>> 0, 0x28);
      await patchFile(device, block * 1024, header);
      const done = await check();
      expect(done).toMatchObject({ succeeded: false, reason: 'tool_too_old' });
      expect(done.result.outcome).toBe('tool_too_old');
    });
  });
});
