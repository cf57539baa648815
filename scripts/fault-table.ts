import { faults } from '../test/lab/faults/index.ts';
import type { Fault } from '../test/lab/faults/fault.ts';

/** How the proof of one fault went. */
export interface FaultResult {
  state: 'passed' | 'failed';
  seconds: number;
  /** What was not so, or `booted`, or nothing. */
  note: string;
}

export interface FaultRun {
  /** By id, of faults that were made on a disk. */
  onDisk: ReadonlyMap<string, FaultResult>;
  /** Whether each test file passed, by its path in the project. */
  files: ReadonlyMap<string, boolean>;
  /** Why a fault was not run, by id. */
  waiting: ReadonlyMap<string, string>;
}

/** As the tests of the laboratory leave it in a file. */
export interface WrittenResults {
  onDisk: [id: string, FaultResult][];
  waiting: [id: string, why: string][];
}

interface Row {
  how: string;
  state: 'passed' | 'failed' | 'not here';
  why: string;
  seconds: string;
}

/** The page of all faults and how their proofs went. */
export function faultPage(run: FaultRun, machine: string): string {
  const rows = faults.map((fault) => ({ fault, row: rowOf(fault, run) }));
  const count = (state: Row['state']) => rows.filter(({ row }) => row.state === state).length;
  return [
    '# Faults and their repairs',
    '',
    `Written by \`scripts/test --all\` on ${machine}. Of ${rows.length} faults that clients call about, ` +
      `${count('passed')} passed, ${count('failed')} failed, ${count('not here')} were not run here.`,
    '',
    '- **repaired**: made on a disk with a whole Debian, found by a diagnosis, repaired by a plan, with the whole product; looked at with the',
    '  tool people would use; nothing but what the plan lists changed; nothing left to do; undone; killed (kill -9) and undone. **booted** adds a boot in QEMU.',
    '- **told**: found, told of, and left alone, because a repair would destroy what is left.',
    '- **recorded**: through output of the tools that was recorded on a real machine; **live**: on a running system, or in a virtual machine.',
    '',
    '| id | fault | how | state | why | s |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ fault, row }) =>
        `| ${fault.id} | ${cell(fault.title)} | ${row.how} | ${row.state} | ${cell(row.why)} | ${row.seconds} |`,
    ),
    '',
  ].join('\n');
}

function rowOf(fault: Fault, run: FaultRun): Row {
  if (fault.proof === 'none') return { how: '', state: 'not here', why: fault.why, seconds: '' };
  if (fault.proof === 'recorded' || fault.proof === 'live') {
    const passed = run.files.get(fault.test);
    if (passed === undefined) {
      return { how: fault.proof, state: 'not here', why: `${fault.test} did not run`, seconds: '' };
    }
    const state = passed ? 'passed' : 'failed';
    return { how: fault.proof, state, why: `\`${fault.test}\``, seconds: '' };
  }
  const how =
    fault.proof === 'report' ? 'told' : fault.boots === true ? 'repaired, booted' : 'repaired';
  const result = run.onDisk.get(fault.id);
  if (result === undefined) {
    return { how, state: 'not here', why: run.waiting.get(fault.id) ?? 'did not run', seconds: '' };
  }
  return { how, state: result.state, why: result.note, seconds: result.seconds.toFixed(0) };
}

/** Text of a failure must not break the table. */
function cell(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll('|', String.raw`\|`)
    .slice(0, 160);
}
