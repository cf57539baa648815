import { describe, expect, it } from 'vitest';
import { faultPage } from './fault-table.ts';

describe('the page of faults', () => {
  const page = faultPage(
    {
      onDisk: new Map([
        ['P02', { state: 'passed', seconds: 17.4, note: '' }],
        ['R01', { state: 'failed', seconds: 3, note: 'line 1 |\nline 2' }],
      ]),
      files: new Map([['test/system/services.test.ts', false]]),
      waiting: new Map([['B01', 'there is no bootloader.repair yet']]),
    },
    'two cores',
  );
  const row = (id: string) => page.split('\n').find((line) => line.startsWith(`| ${id} `));

  it('has a row for each of the 93 and counts them', () => {
    expect(page.match(/^\| [A-Z]\d\d \|/gm)).toHaveLength(93);
    expect(page).toContain('Of 93 faults that clients call about, 1 passed, 2 failed, 90 were not');
  });

  it('says how each went, and why one was not run', () => {
    expect(row('P02')).toMatch(/\| repaired \| passed \| {2}\| 17 \|$/);
    expect(row('S06')).toMatch(/\| live \| failed \| `test\/system\/services\.test\.ts` \|/);
    expect(row('B01')).toMatch(/\| not here \| there is no bootloader\.repair yet \|/);
    expect(row('B18')).toMatch(/\| not here \| no Windows is repaired yet \|/);
  });

  it('keeps what a failure says within its cell', () => {
    expect(row('R01')).toContain(String.raw`| line 1 \| line 2 | 3 |`);
  });
});
