import { describe, expect, it } from 'vitest';
import { faultPage, readFaultPage, testsOfFaults } from './fault-table.ts';
import type { FaultResult, FaultRow, FaultRun } from './fault-table.ts';

const BOOT_LOOP = 'agent/actions/diagnostics/log/boot-loop.test.ts';

function page(run: Partial<FaultRun>, before: ReadonlyMap<string, FaultRow> = new Map()): string {
  const nothing = new Map<string, never>();
  const whole = { commit: '0a1b2c3', onDisk: nothing, files: nothing, ...run };
  return faultPage(whole, 'a machine', before);
}

const row = (text: string, id: string) =>
  text.split('\n').find((line) => line.startsWith(`| ${id} |`));

describe('the page of faults', () => {
  it('has a row for each, proven or not', () => {
    const text = page({});
    expect(text.match(/^\| [A-Z]\d\d \| .+ \| (not run|no) \| .*\| {2}\| {2}\|$/gm)).toHaveLength(
      93,
    );
    expect(row(text, 'P01')).toContain('| not run |');
    expect(row(text, 'B18')).toContain('| no | no Windows is repaired yet |');
    expect(text).toContain('Of 93 faults that clients call about 0 are proven');
  });

  it('tells what was repaired and booted, and what failed', () => {
    const text = page({
      onDisk: new Map([
        ['P01', { state: 'passed', seconds: 12.4, note: '' }],
        ['B05', { state: 'passed', seconds: 60, note: 'booted' }],
        ['F13', { state: 'passed', seconds: 9, note: '' }],
        ['P02', { state: 'failed', seconds: 3, note: 'found | only\nnothing' }],
      ]),
    });
    expect(text).toContain('3 are proven: 3 on disks, 0 apart, 0 by recorded output; 1 failed');
    expect(row(text, 'P01')).toContain('| yes | repaired | 12 | `0a1b2c3` |');
    expect(row(text, 'B05')).toContain('| yes | repaired, booted | 60 |');
    expect(row(text, 'F13')).toContain('| yes | told | 9 |');
    expect(row(text, 'P02')).toContain(String.raw`| failed | found \| only nothing | 3 |`);
  });

  it('says why something is proven by recorded output, and by which test', () => {
    expect(testsOfFaults()).toContain(BOOT_LOOP);
    expect(testsOfFaults(['D03', 'P01'])).toEqual([BOOT_LOOP]);
    const text = page({ files: new Map([[BOOT_LOOP, true]]) });
    expect(row(text, 'D03')).toMatch(/\| yes \| recorded: the disks .*boot-loop\.test\.ts` \|/);
    const failed = page({ files: new Map([[BOOT_LOOP, false]]) });
    expect(row(failed, 'D03')).toContain('| failed | recorded: ');
  });

  it('keeps what an earlier run saw of the faults that this one did not make', () => {
    const failure: FaultResult = { state: 'failed', seconds: 3, note: 'a | b' };
    const first = page({
      commit: 'first',
      files: new Map([[BOOT_LOOP, true]]),
      onDisk: new Map<string, FaultResult>([
        ['P01', { state: 'passed', seconds: 12, note: '' }],
        ['P02', failure],
        ['P03', failure],
      ]),
    });
    const second = page(
      { commit: 'then', onDisk: new Map([['P02', { state: 'passed', seconds: 4, note: '' }]]) },
      readFaultPage(first),
    );
    expect(row(second, 'P01')).toContain('| yes | repaired | 12 | `first` |');
    expect(row(second, 'P02')).toContain('| yes | repaired | 4 | `then` |');
    expect(row(second, 'P03')).toContain('| failed | a \\| b | 3 | `first` |');
    expect(row(second, 'D03')).toBe(row(first, 'D03'));
    expect(second).toContain('3 are proven: 2 on disks, 0 apart, 1 by recorded output; 1 failed');
  });
});
