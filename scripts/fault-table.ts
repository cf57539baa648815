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
  /** Short hash of the tested commit. */
  commit: string;
  /** By id, of faults that were made on a disk. */
  onDisk: ReadonlyMap<string, FaultResult>;
  /** Whether each test file passed, by its path in the project. */
  files: ReadonlyMap<string, boolean>;
}

/** As the tests of the laboratory leave it in a file. */
export interface WrittenResults {
  onDisk: [id: string, FaultResult][];
}

/** How a fault is proven, as the page says it. */
export interface FaultRow {
  proven: 'yes' | 'failed' | 'not run' | 'no';
  how: string;
  seconds: string;
  /** The commit that this was seen of. */
  commit: string;
}

/** Test files that prove faults which no disk of the laboratory holds: of these ids, or of all. */
export function testsOfFaults(ids?: readonly string[]): string[] {
  const asked = faults.filter(({ id }) => ids?.includes(id) ?? true);
  const tests = asked.flatMap((fault) => ('test' in fault ? [fault.test] : []));
  return [...new Set(tests)].toSorted();
}

/** What a page of {@link faultPage} says of the faults that were proven, or failed, by id. */
export function readFaultPage(page: string): Map<string, FaultRow> {
  const rows = page.split('\n').flatMap((line): [string, FaultRow][] => {
    const cells = line
      .split(/(?<!\\)\|/)
      .map((text) => text.trim().replaceAll(String.raw`\|`, '|'));
    const [, id, , proven, how, seconds, commit] = cells;
    if (proven !== 'yes' && proven !== 'failed') return [];
    return [[id!, { proven, how: how!, seconds: seconds!, commit: commit!.replaceAll('`', '') }]];
  });
  return new Map(rows);
}

/** The page of all faults and how their proofs went; what was not run stands as it stood `before`. */
export function faultPage(
  run: FaultRun,
  machine: string,
  before: ReadonlyMap<string, FaultRow>,
): string {
  const rows = faults.map((fault) => {
    const row = rowOf(fault, run);
    return { fault, row: row.proven === 'not run' ? (before.get(fault.id) ?? row) : row };
  });
  const count = (proven: FaultRow['proven']) =>
    rows.filter(({ row }) => row.proven === proven).length;
  const provenBy = (...proofs: Fault['proof'][]) =>
    rows.filter(({ fault, row }) => row.proven === 'yes' && proofs.includes(fault.proof)).length;
  return [
    '# Faults and their repairs',
    '',
    `\`scripts/test --all\` writes this page; this one comes from ${machine}. Of ${rows.length} faults that clients call about ${count('yes')} are ` +
      `proven: ${provenBy('repair', 'report')} on disks, ${provenBy('live')} apart, ${provenBy('recorded')} by ` +
      `recorded output; ${count('failed')} failed, ${count('not run')} were not run, ${count('no')} are not proven.`,
    '',
    '- **repaired**: made on a disk with a whole Debian, found by a diagnosis, repaired by a plan, with the whole product; looked at with the',
    '  tool people would use; nothing on the disk but what the plan lists changed; nothing left to do; undone; killed (kill -9) and undone.',
    '  **booted**: started in QEMU afterwards, too. What starts a system (B01 to B15) is repaired as Debian and its kin have it, not as RHEL and SUSE have it.',
    '- **told**: found, told of, and left alone, because a repair would destroy what is left.',
    '- **apart**: made and proven by a test of its own: on a running system, in a virtual machine, on a smaller disk.',
    '- **recorded**: cannot be made here, and why; its rule is proven by what the tools print on a machine that has it.',
    '',
    '| id | fault | proven | how | s | commit |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows.map(
      ({ fault, row }) =>
        `| ${fault.id} | ${cell(fault.title)} | ${row.proven} | ${cell(row.how)} | ${row.seconds} | ${row.commit === '' ? '' : `\`${row.commit}\``} |`,
    ),
    '',
  ].join('\n');
}

function rowOf(fault: Fault, run: FaultRun): FaultRow {
  const unproven = { seconds: '', commit: '' };
  const { commit } = run;
  if (fault.proof === 'none') return { ...unproven, proven: 'no', how: fault.why };
  if (fault.proof === 'recorded' || fault.proof === 'live') {
    const why = fault.proof === 'recorded' ? `${fault.why}; ` : '';
    const passed = run.files.get(fault.test);
    if (passed === undefined) {
      return { ...unproven, proven: 'not run', how: `${why}\`${fault.test}\`` };
    }
    const how = `${fault.proof === 'live' ? 'apart' : 'recorded'}: ${why}\`${fault.test}\``;
    return { proven: passed ? 'yes' : 'failed', how, seconds: '', commit };
  }
  const result = run.onDisk.get(fault.id);
  if (result === undefined) return { ...unproven, proven: 'not run', how: '' };
  const seconds = result.seconds.toFixed(0);
  if (result.state === 'failed') return { proven: 'failed', how: result.note, seconds, commit };
  const how = fault.proof === 'report' ? 'told' : 'repaired';
  return {
    proven: 'yes',
    how: result.note === '' ? how : `${how}, ${result.note}`,
    seconds,
    commit,
  };
}

/** Text of a failure must not break the table. */
function cell(text: string): string {
  return text
    .replaceAll(/\s+/g, ' ')
    .replaceAll('|', String.raw`\|`)
    .slice(0, 160);
}
