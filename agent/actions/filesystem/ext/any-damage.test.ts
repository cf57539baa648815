import { copyFile } from 'node:fs/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeDamagedExt4, makeExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { ActionError } from '../../../runner/action.ts';
import { makeMetadataImage } from './metadata-image.ts';
import { readClusters } from './qcow2-clusters.ts';
import { ActionFixture } from '../testing/action-fixture.ts';
import { patchFile, sha256 } from '../testing/image-bytes.ts';

const RUNS = 5;
const kinds = [{}, { type: 'ext3' }, { type: 'ext2' }, { blockSize: 4096 }] as const;

const damage = fc.record({
  kind: fc.constantFrom(...kinds),
  isDamagedBefore: fc.boolean(),
  /** Which block of the metadata, where in it, and what is there afterwards. */
  hits: fc.array(
    fc.record({
      block: fc.nat(),
      at: fc.nat(),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
    }),
    { minLength: 1, maxLength: 5 },
  ),
});

describe('whatever is damaged in the metadata', () => {
  let fixture: ActionFixture;
  let device: string;
  beforeAll(async () => {
    fixture = await ActionFixture.create();
    device = fixture.path('disk');
  });
  afterAll(() => fixture.close());

  async function metadataBlocks(): Promise<{ offset: number; bytes: number }[]> {
    const path = fixture.path(`metadata-${Math.random()}`);
    const options = { device, superblock: null, path, maxBytes: 2 ** 26 };
    await makeMetadataImage(await fixture.bareContext(), options);
    const blocks: { offset: number; bytes: number }[] = [];
    for await (const { offset, bytes } of readClusters(path)) {
      blocks.push({ offset, bytes: bytes.length });
    }
    return blocks;
  }

  it(
    'a repair corrects or refuses or says what is left, and its undo gives the same bytes',
    { timeout: 300_000 },
    async () => {
      await fc.assert(
        fc.asyncProperty(damage, async ({ kind, isDamagedBefore, hits }) => {
          await (isDamagedBefore ? makeDamagedExt4 : makeExt4)(device, { ...kind, mebibytes: 12 });
          const blocks = await metadataBlocks();
          for (const { block, at, bytes } of hits) {
            const hit = blocks[block % blocks.length]!;
            await patchFile(device, hit.offset + (at % (hit.bytes - 64)), Buffer.from(bytes));
          }
          const before = await sha256(device);
          await copyFile(device, fixture.path('before'));
          try {
            const { plan } = await fixture.plan({ device });
            expect((await fixture.plan({ device })).plan).toEqual(plan);
            expect(await sha256(device)).toBe(before);
            const done = await fixture.apply(plan);
            const { outcome } = (await fixture.check({ device })).result;
            expect(outcome).toBe(done.succeeded ? 'clean' : 'errors_left');
            if (plan.steps.length > 0) await fixture.undo(done, { device });
          } catch (error) {
            if (!(error instanceof ActionError)) throw error;
          }
          expect(await sha256(device)).toBe(before);
        }),
        { numRuns: RUNS },
      );
    },
  );
});
