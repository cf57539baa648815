import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { VolumeDisk } from '../testing/volume-disk.ts';

let disk: VolumeDisk;
beforeEach(async () => {
  disk = await VolumeDisk.create('ntfs');
});
afterEach(() => disk.close());

async function expectLeftToWindows(reason: string): Promise<void> {
  const before = await disk.digest();
  const checked = await disk.check();
  expect([checked.outcome, checked.result?.outcome]).toEqual(['succeeded', 'errors_left']);
  const planned = await disk.plan();
  expect([planned.reason, await disk.digest()], planned.said).toEqual([reason, before]);
}

describe('an NTFS volume', { timeout: 120_000 }, () => {
  it('that is clean needs nothing', async () => {
    expect((await disk.check()).result).toMatchObject({
      outcome: 'clean',
      filesystem: 'ntfs',
      uuid: expect.stringMatching(/^[0-9A-F]{16}$/),
    });
    expect((await disk.plan()).plan?.steps).toEqual([]);
  });

  it('without its boot sector gets it back from its copy, and nothing else is written', async () => {
    const well = await disk.digest();
    await disk.overwrite(0, new Uint8Array(512));
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.preconditions[0]!.what).toBe('the first and the last sector');
    await disk.order({ plan: (await disk.plan()).bytes });
    expect(await disk.digest()).toBe(well);
  });

  it('that is marked to be checked is left to Windows, although the probe is content', async () => {
    disk.onPartition((device) => ['ntfsfix', device]);
    disk.onPartition((device) => ['ntfs-3g.probe', '--readwrite', device]);
    await expectLeftToWindows('needs_windows');
  });

  it.runIf(isWhole)('that is marked to be checked gets its boot sector all the same', async () => {
    disk.onPartition((device) => ['ntfsfix', device]);
    await disk.overwrite(0, new Uint8Array(512));
    const done = await disk.order({ plan: (await disk.plan()).bytes });
    expect([done.reason, done.result?.outcome], done.said).toEqual([
      'needs_windows',
      'errors_left',
    ]);
    expect((await disk.check()).result?.detail).toContain('marked to be checked');
  });

  it('in which Windows hibernates is never written', async () => {
    const file = join(disk.folder, 'hiberfil.sys');
    writeFileSync(file, Buffer.concat([Buffer.from('hibr'), Buffer.alloc(8188)]));
    disk.onPartition((device) => ['ntfscp', device, file, '/hiberfil.sys'].toSpliced(1, 0, '-q'));
    await expectLeftToWindows('hibernated');
  });

  it('whose last sector is no copy of its first is left alone', async () => {
    const sector = await disk.read(disk.bytes - 512, 512);
    sector.writeBigUInt64LE(sector.readBigUInt64LE(40) - 8n, 40);
    await disk.overwrite(disk.bytes - 512, sector);
    await disk.overwrite(0, new Uint8Array(512));
    const broken = await disk.digest();
    expect([(await disk.plan()).reason, await disk.digest()]).toEqual(['no_filesystem', broken]);
  });
});
