import { describe, expect, it } from 'vitest';
import { actions } from './catalogue.ts';
import { DISK_KEY, secretsOf } from './declaration.ts';

describe('the key of encrypted disks', () => {
  it('is taken by every action that works on disks, for disks alone', () => {
    for (const action of actions) {
      const worksOnDisks = action.offline !== undefined;
      expect(secretsOf(action).includes(DISK_KEY), action.id).toBe(worksOnDisks);
      expect(secretsOf(action, { disk: 'all' }).includes(DISK_KEY), action.id).toBe(worksOnDisks);
      expect(secretsOf(action, null)).toEqual(action.sealedInputs);
    }
  });
});
