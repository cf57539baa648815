import { describe, expect, it } from 'vitest';
import { FaultDisk, ROOT_PASSWORD } from './index.ts';
import { faults } from './faults/index.ts';
import { missingFor } from './repair-proof.ts';

describe('the table of faults', () => {
  it('has each of the 93 once', () => {
    const areas = { P: 11, N: 15, R: 12, B: 18, F: 20, S: 6, D: 5, W: 6 };
    const ids = Object.entries(areas).flatMap(([area, count]) =>
      Array.from({ length: count }, (_, i) => `${area}${String(i + 1).padStart(2, '0')}`),
    );
    expect(faults.map(({ id }) => id)).toEqual(ids);
  });
});

const waiting = faults
  .filter((fault) => fault.proof === 'repair' || fault.proof === 'report')
  .filter((fault) => missingFor(fault) !== null);
const isWhole = process.env.INTERVENE_TEST_ALL === '1';

describe.runIf(isWhole && waiting.length > 0)('a fault that waits for its repair', () => {
  it.each(waiting.map((fault) => [fault.id, fault.title, fault] as const))(
    '%s, %s: is there once it is made',
    async (_id, _title, fault) => {
      const disk = await FaultDisk.copy(fault.disk);
      try {
        await fault.inject(disk);
        await expect(fault.check(disk, { password: ROOT_PASSWORD })).rejects.toThrow();
      } finally {
        disk.close();
      }
    },
  );
});
