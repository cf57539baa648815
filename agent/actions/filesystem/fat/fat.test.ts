import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../../test/fixtures/matrix.ts';
import { VolumeDisk } from '../testing/volume-disk.ts';

const FIRST_TABLE = 32 * 512;

let whole: VolumeDisk;
let disk: VolumeDisk;
beforeAll(async () => {
  whole = await VolumeDisk.create('fat');
  const drive = `${whole.image}@@${1024 * 1024}`;
  const mtools = (...words: string[]) => execFileSync(words[0]!, words.slice(1));
  mtools('mmd', '-i', drive, '::/EFI', '::/EFI/BOOT');
  for (let n = 0; n < 6; n++) {
    const file = join(whole.folder, `loader-${n}`);
    writeFileSync(file, randomBytes(20_000));
    mtools('mcopy', '-i', drive, file, `::/EFI/BOOT/LOADER${n}.EFI`);
  }
});
afterAll(() => whole.close());
beforeEach(async () => {
  disk = await whole.copy();
});
afterEach(() => disk.close());

describe('a FAT file system', { timeout: 120_000 }, () => {
  it('that is clean needs nothing', async () => {
    expect((await disk.check()).result).toMatchObject({
      outcome: 'clean',
      filesystem: 'vfat',
      uuid: expect.stringMatching(/^[0-9A-F]{4}-[0-9A-F]{4}$/),
    });
    const nothing = await disk.plan();
    expect(nothing.plan?.steps).toEqual([]);
    const done = await disk.order({ plan: nothing.bytes });
    expect([done.outcome, done.result?.outcome]).toEqual(['succeeded', 'clean']);
  });

  it('that was not unmounted loses only its mark', async () => {
    await disk.overwrite(65, Uint8Array.of(1));
    expect((await disk.plan()).bytes).toBe((await disk.plan()).bytes);
    const { plan, done } = await disk.expectRepairedAndPutBack();
    expect(plan.findings[0]).toContain('not unmounted cleanly');
    expect(plan.summary).toContain('in 1 place overwritten');
    expect(done.said).toContain('Corrected');
  });

  it.runIf(isWhole)(
    'whose first table is damaged is repaired by the second, and nothing is lost',
    async () => {
      const well = await disk.digest();
      await disk.overwrite(FIRST_TABLE + 40, randomBytes(300));
      const { plan } = await disk.expectRepairedAndPutBack();
      expect(plan.findings.join('\n')).toContain('the second one is used');
      const done = await disk.order({ plan: (await disk.plan()).bytes });
      expect(done.result?.outcome).toBe('corrected');
      expect(await disk.digest()).toBe(well);
    },
  );

  it.runIf(isWhole)('says beforehand which files would be cut short', async () => {
    const folder = await disk.read(0, disk.bytes);
    const entry = folder.indexOf('LOADER4 EFI');
    await disk.overwrite(entry + 28, Uint8Array.of(0, 0, 0, 1));
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.findings.join('\n')).toContain('One file would be cut short');
    expect(plan.findings.join('\n')).toContain('LOADER4');
  });

  it.runIf(isWhole)('without its boot sector gets it back from its copy', async () => {
    await disk.overwrite(0, new Uint8Array(512));
    const { plan } = await disk.expectRepairedAndPutBack();
    expect(plan.summary).toContain('boot sector anew from its copy');
  });

  it.runIf(isWhole)('has its whole image among the backups', async () => {
    await disk.overwrite(65, Uint8Array.of(1));
    const before = await disk.read(0, disk.bytes);
    const job = await disk.start({ plan: (await disk.plan()).bytes });
    await disk.finish(job);
    const saved = job.records(0).find((record) => record.type === 'step_saved')!;
    const image = saved.backups.find(({ path }) => path.endsWith('/filesystem.img'))!;
    expect(image.bytes).toBe(disk.bytes);
    expect(image.digest).toBe(`sha256:${createHash('sha256').update(before).digest('hex')}`);
  });

  it('that was used since is not put back', async () => {
    await disk.overwrite(65, Uint8Array.of(1));
    const done = await disk.order({ plan: (await disk.plan()).bytes });
    await disk.overwrite(disk.bytes - 4096, Uint8Array.of(7));
    const used = await disk.digest();
    const undone = await disk.order({ mode: 'undo', undoes: done.id });
    expect([undone.reason, await disk.digest()]).toEqual(['changed_since', used]);
  });

  it('that has changed since the plan is left alone', async () => {
    await disk.overwrite(65, Uint8Array.of(1));
    const { bytes } = await disk.plan();
    await disk.overwrite(FIRST_TABLE + 40, randomBytes(30));
    const changed = await disk.digest();
    const done = await disk.order({ plan: bytes });
    expect([done.reason, await disk.digest()]).toEqual(['changed_since_plan', changed]);
  });
});
