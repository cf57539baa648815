import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readTestPage, testPage } from './test-table.ts';

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'iv-test-table-'));
});

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const counts = { passed: 420, failed: 1, skipped: 2, seconds: 61, commit: '0a1b2c3+' };

describe('the page of what every part of the tests came to', () => {
  it('is read as it was written, so that one part may run again', () => {
    const results = [
      { ...counts, name: 'unit', notes: ['failed: a_b.test.ts > `x` of <y>', 'second try: c'] },
      { ...counts, name: 'lab', notes: [] },
    ];
    const page = path.join(folder, 'TESTS.md');
    writeFileSync(page, testPage(results, 'two cores'));
    expect(readTestPage(page)).toEqual(results);
  });

  it('adds up what it holds', () => {
    const page = testPage([{ ...counts, name: 'unit', notes: [] }], 'two cores');
    expect(page).toContain('420 passed, 1 failed, 2 skipped, in 1 minutes');
  });

  it('keeps a name with a bar in its cell', () => {
    const page = testPage([{ ...counts, name: 'unit', notes: ['failed: a | b'] }], 'x');
    expect(page).toContain('| failed: a / b |');
  });

  it('holds nothing where there is none, or another', () => {
    expect(readTestPage(path.join(folder, 'none.md'))).toEqual([]);
    writeFileSync(path.join(folder, 'other.md'), '# Tests\n\nunit 3 passed\n');
    expect(readTestPage(path.join(folder, 'other.md'))).toEqual([]);
  });
});
