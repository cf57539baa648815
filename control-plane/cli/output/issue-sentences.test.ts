import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { fingerprint } from '../../../proto/documents/fields.ts';
import { issueSentences } from './issue-sentences.ts';

describe('what a schema found', () => {
  it('is told in sentences with the place of each, never as JSON', () => {
    const schema = z.object({ engineers: z.array(fingerprint), count: z.int().min(1) });
    const { error } = schema.safeParse({ engineers: ['foo'], count: 0 });
    const told = issueSentences(error) ?? '';
    expect(told).toMatch(/^engineers\.0: Invalid string: .*\. count: Too small: .*\.$/);
    expect(told).not.toMatch(/["{}\n]code/);
  });

  it('is nothing for other errors', () => {
    expect(issueSentences(new Error('other'))).toBeNull();
    expect(issueSentences('text')).toBeNull();
  });
});
