import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { crc32c } from '../crc32c.ts';
import { VolumeDisk } from '../testing/volume-disk.ts';
import { parseXfsSuperblock } from './xfs-superblock.ts';

let whole: VolumeDisk;
let disk: VolumeDisk;
beforeAll(async () => {
  whole = await (await VolumeDisk.create('xfs')).fill();
});
afterAll(() => whole.close());
beforeEach(async () => {
  disk = await whole.copy();
});
afterEach(() => disk.close());

/** Damages it with xfs_db(8), which writes also what is wrong. */
function damage(...commands: string[]): void {
  const words = commands.flatMap((command) => ['-c', command]);
  disk.onPartition((device) => ['xfs_db', '-x', ...words, device], [0, 1]);
}

async function superblock() {
  return parseXfsSuperblock(await disk.read(0, 512))!;
}

/** The log cannot be replayed: what its records hold is no more what they say. */
async function spoilLog(): Promise<void> {
  const [start, bytes] = (await superblock()).log as [number, number];
  const log = await disk.read(start, bytes);
  for (let at = 0; at + 512 <= bytes; at += 512) {
    // Behind each record header (its magic number) come its operations.
    if (log.readUInt32BE(at) !== 0xfeedbabe) continue;
    const size = log.readUInt32BE(at + 12);
    if (size > 0) log.fill(0xee, at + 512 + 8, at + 512 + 60);
  }
  await disk.overwrite(start, log);
}

describe('an XFS file system', { timeout: 240_000 }, () => {
  it('that is clean needs nothing', async () => {
    expect((await disk.check()).result).toMatchObject({
      outcome: 'clean',
      filesystem: 'xfs',
      uuid: (await superblock()).uuid,
    });
    expect((await disk.plan()).plan?.steps).toEqual([]);
  });

  it('that was cut off has its log written out, and that is no damage', async () => {
    await disk.cutPower();
    expect((await disk.plan()).bytes).toBe((await disk.plan()).bytes);
    const { plan } = await disk.expectRepairedAndPutBack('journal_pending');
    expect(plan.summary).toMatch(/^Write out the journal of partition 1/);
    expect(plan.findings.join('\n')).toContain('With the log written out there is no damage.');
    expect(plan.steps.every(({ undo }) => undo.possible)).toBe(true);
  });

  it.runIf(isWhole)('that was cut off and is damaged besides has both mended', async () => {
    damage('sb 0', 'p rootino', 'inode 128', 'write -d core.nlinkv2 99');
    await disk.cutPower();
    const { plan } = await disk.expectRepairedAndPutBack('journal_pending');
    expect(plan.summary).toMatch(/^Write out the journal and repair/);
  });

  it.runIf(isWhole)(
    'with damaged groups and inodes is repaired by a copy of its metadata',
    async () => {
      damage('agf 1', 'write -d btreeblks 77', 'agi 1', 'write -d magicnum 0x1234');
      damage('inode 128', 'write -d core.nlinkv2 99');
      const { plan, done } = await disk.expectRepairedAndPutBack();
      expect(plan.preconditions[0]!.what).toContain('xfs_metadump');
      expect(plan.findings.join('\n')).toContain('xfs_repair: bad magic # 0x1234 for agi 1');
      expect(done.said).toContain('Corrected; a second check finds no errors.');
    },
  );

  it.runIf(isWhole)('whose folder is gone has its files in lost+found', async () => {
    const found = disk.onPartition((device) => ['xfs_db', '-r', '-c', 'ls /shop/', device]);
    const inode = /(\d+)\s+directory\s+\S+\s+\d+ day-1\b/.exec(found)![1]!;
    damage(`inode ${inode}`, 'write -d core.magic 0');
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.findings.join('\n')).toMatch(/bad magic number|disconnected inode/);
  });

  it('without its first superblock is repaired from the others', async () => {
    await disk.overwrite(0, new Uint8Array(512));
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.preconditions[0]!.what).toBe('all bytes of the file system');
  });

  it('whose log cannot be replayed is left alone until it is said that the log may be lost', async () => {
    await disk.cutPower();
    await spoilLog();
    const broken = await disk.digest();
    const refused = await disk.plan();
    expect([refused.reason, await disk.digest()], refused.said).toEqual([
      'log_not_replayable',
      broken,
    ]);
    expect(refused.said).toContain('discardLog=true');
    const { plan } = await disk.expectRepairedAndPutBack('journal_pending', {
      partition: 1,
      discardLog: true,
    });
    expect(plan.summary).toMatch(/^Throw the log away/);
    expect(plan.findings.join('\n')).toContain('the last changes before the crash are lost');
  });

  it.runIf(isWhole)('whose log can be replayed keeps it, whatever is said', async () => {
    await disk.cutPower();
    const refused = await disk.plan({ partition: 1, discardLog: true });
    expect(refused.reason, refused.said).toBe('log_replayable');
  });

  it('with features that the tool does not know is left alone', async () => {
    const bytes = await disk.read(0, 512);
    bytes.writeUInt32BE((bytes.readUInt32BE(0xd8) | 0x8000_0000) >>> 0, 0xd8);
    bytes.writeUInt32LE(0, 0xe0);
    bytes.writeUInt32LE(~crc32c(bytes) >>> 0, 0xe0);
    await disk.overwrite(0, bytes);
    const changed = await disk.digest();
    expect((await disk.check()).reason).toBe('tool_too_old');
    expect((await disk.plan()).reason).toBe('tool_too_old');
    expect(await disk.digest()).toBe(changed);
  });

  it.runIf(isWhole)('that was used since is not put back', async () => {
    damage('inode 128', 'write -d core.nlinkv2 99');
    const done = await disk.order({ plan: (await disk.plan()).bytes });
    expect(done.result?.outcome, done.said).toBe('corrected');
    await disk.mounted(() => undefined);
    const used = await disk.digest();
    const undone = await disk.order({ mode: 'undo', undoes: done.id });
    expect([undone.reason, await disk.digest()]).toEqual(['changed_since', used]);
  });
});
