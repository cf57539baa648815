import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import type { RunCounts } from './count-reporter.ts';
import { faultPage, readFaultPage, testsOfFaults } from './fault-table.ts';
import type { WrittenResults } from './fault-table.ts';
import { readTestPage, testPage } from './test-table.ts';
import type { PartResult } from './test-table.ts';

/**
 * Runs the parts of the test suite one after the other, says what it is doing, and ends with the line
 * `N passed, N failed, N skipped`. A part that cannot run here counts as skipped and says why.
 */

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Part {
  name: string;
  what: string;
  /** Why this part cannot run here, or null. */
  unavailable?: () => string | null;
  run: () => Promise<Counts>;
}

const root = path.dirname(import.meta.dirname);
const bin = (name: string) => path.join(root, 'node_modules/.bin', name);
const isRoot = process.getuid?.() === 0;

const { values: options } = parseArgs({
  options: { all: { type: 'boolean', default: false }, only: { type: 'string' } },
});

function command(argv: string[], environment: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve) => {
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: root,
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, ...environment },
    });
    child.on('error', () => resolve(127));
    child.on('exit', (status) => resolve(status ?? 1));
  });
}

async function check(argv: string[]): Promise<Counts> {
  const status = await command(argv);
  return { passed: status === 0 ? 1 : 0, failed: status === 0 ? 0 : 1, skipped: 0 };
}

function sum(one: Counts, other: Counts): Counts {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: one.skipped + other.skipped,
  };
}

/** Whether each test file that ran has passed, by its path in the project; several parts may run one. */
const files = new Map<string, boolean>();
/** A name and the first lines of its error each: what passed on its second try only, and what failed. */
const again: string[] = [];
const failures: string[] = [];

async function vitest(args: string[], environment: Record<string, string> = {}): Promise<Counts> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-counts-'));
  const file = path.join(folder, 'counts.json');
  const vitestArgv = [path.join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...args];
  const reporters = ['--reporter=default', '--reporter=./scripts/count-reporter.ts'];
  try {
    const status = await command([bin('node'), ...vitestArgv, ...reporters], {
      ...environment,
      INTERVENE_TEST_COUNTS: file,
    });
    if (!existsSync(file)) return { passed: 0, failed: 1, skipped: 0 };
    const counts = JSON.parse(readFileSync(file, 'utf8')) as RunCounts;
    for (const [name, passed] of counts.files) files.set(name, passed && files.get(name) !== false);
    again.push(...counts.again);
    failures.push(...counts.failures);
    const { passed, failed, skipped } = counts;
    return { passed, failed: status === 0 ? failed : failed || 1, skipped };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0]!;
}

function testedCommit(): string {
  const git = (...args: string[]) =>
    spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' }).stdout.trim();
  const changed = git('status', '--porcelain', '--untracked-files=no', '--', ':!docs') !== '';
  return `${git('rev-parse', '--short', 'HEAD') || 'unknown'}${changed ? '+' : ''}`;
}

/** Heavy tables run whole where this is set. */
const wholeTables: Record<string, string> = options.all ? { INTERVENE_TEST_ALL: '1' } : {};
/** Tests of what speaks SQL of its own; with `--all`, those of all that stands on it. */
const askingTests = options.all
  ? ['control-plane', '--exclude', 'control-plane/cli/**']
  : [
      ...['accounts', 'agents', 'audit', 'authorizations', 'credentials', 'database'],
      ...['interventions', 'jobs', 'logs', 'servers'],
    ].map((area) => `control-plane/${area}/`);
/** Then their rows of the page of faults are written anew, and no other page. */
const someFaults = process.env['INTERVENE_TEST_FAULTS']?.split(',');
const faultResults = path.join(mkdtempSync(path.join(tmpdir(), 'iv-faults-')), 'results.json');

const parts: Part[] = [
  {
    name: 'types',
    what: 'strict TypeScript over everything',
    run: () => check([bin('tsc'), '-p', 'tsconfig.json']),
  },
  { name: 'lint', what: 'type-aware rules', run: () => check([bin('oxlint')]) },
  { name: 'format', what: 'one formatter', run: () => check([bin('oxfmt'), '--check']) },
  {
    name: 'unit',
    what: 'tests beside the source, on the embedded PostgreSQL',
    run: () => vitest(['--project', 'unit'], wholeTables),
  },
  {
    name: 'postgresql',
    what: "what asks the database, again on Debian's PostgreSQL",
    unavailable: () =>
      existsSync('/usr/lib/postgresql/15/bin/postgres')
        ? null
        : 'PostgreSQL 15 of Debian is not installed (needs root)',
    run: () =>
      vitest(['--project', 'unit', ...askingTests], {
        ...wholeTables,
        INTERVENE_TEST_POSTGRESQL: 'debian',
      }),
  },
  {
    name: 'fuzz',
    what: 'documents, messages, requests and frames of any content',
    run: () => vitest(['--project', 'fuzz'], wholeTables),
  },
  {
    name: 'system',
    what: 'whole system: real processes, killed, cut off, attacked',
    unavailable: () =>
      isRoot ? null : 'agents, loop devices and namespaces need root: sudo scripts/test',
    run: () => vitest(['--project', 'system'], wholeTables),
  },
  {
    name: 'lab',
    what: 'disks with a whole Debian, broken, repaired, booted',
    unavailable: () => (isRoot ? null : 'disks and virtual machines need root: sudo scripts/test'),
    run: async () => {
      if (!options.all) return vitest(['--project', 'lab']);
      const environment = { ...wholeTables, INTERVENE_FAULT_RESULTS: faultResults };
      const inLab = someFaults === undefined ? [] : ['test/lab/repairs.test.ts'];
      const onDisk = await vitest(['--project', 'lab', ...inLab], environment);
      // The page of faults needs these, whichever parts of the suite run.
      const others = testsOfFaults(someFaults).filter((file) => existsSync(path.join(root, file)));
      const missing = others.filter((file) => !files.has(file));
      return missing.length === 0 ? onDisk : sum(onDisk, await vitest(missing, wholeTables));
    },
  },
];

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
const lines: string[] = [];
const results: PartResult[] = [];
const commit = testedCommit();
for (const part of parts) {
  if (options.only !== undefined && options.only !== part.name) continue;
  const reason = part.unavailable?.() ?? null;
  console.log(`\n━━ ${part.name}: ${part.what}`);
  const started = performance.now();
  const toldBefore = { failures: failures.length, again: again.length };
  const counts = reason === null ? await part.run() : { passed: 0, failed: 0, skipped: 1 };
  const why = reason ?? (counts.skipped > 0 ? 'rows of heavy tables: scripts/test --all' : null);
  if (why !== null) console.log(`   skipped: ${why}`);
  const seconds = (performance.now() - started) / 1000;
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
  results.push({
    ...counts,
    name: part.name,
    seconds,
    commit,
    notes: [
      ...failures.slice(toldBefore.failures).map((text) => `failed: ${firstLine(text)}`),
      ...again.slice(toldBefore.again).map((text) => `second try: ${firstLine(text)}`),
    ],
  });
  lines.push(
    `${part.name.padEnd(11)} ${String(counts.passed).padStart(5)} passed ${String(counts.failed).padStart(3)} failed ` +
      `${String(counts.skipped).padStart(3)} skipped  ${seconds.toFixed(1).padStart(6)} s${why === null ? '' : `  (${why})`}`,
  );
}

const machine = `${cpus().length} cores (${cpus()[0]?.model ?? 'unknown'}), Node ${process.versions.node}`;
if (options.all && someFaults === undefined) {
  const page = path.join(root, 'docs/TESTS.md');
  const before = readTestPage(page).filter(({ name }) => !results.some((one) => one.name === name));
  const inOrder = parts.flatMap(({ name }) =>
    [...before, ...results].filter((result) => result.name === name),
  );
  mkdirSync(path.dirname(page), { recursive: true });
  writeFileSync(page, testPage(inOrder, machine));
  await command([bin('oxfmt'), page]);
}
if (existsSync(faultResults)) {
  const { onDisk } = JSON.parse(readFileSync(faultResults, 'utf8')) as WrittenResults;
  const run = { commit, files, onDisk: new Map(onDisk) };
  const page = path.join(root, 'docs/FAULTS.md');
  const before = existsSync(page) ? readFaultPage(readFileSync(page, 'utf8')) : new Map();
  writeFileSync(page, faultPage(run, machine, before));
  await command([bin('oxfmt'), page]);
}
rmSync(path.dirname(faultResults), { recursive: true, force: true });
console.log(`\n${lines.join('\n')}\n`);
for (const text of failures) console.log(`failed: ${text}`);
for (const text of again) console.log(`passed on its second try: ${text}`);
console.log(`${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 || total.passed === 0 ? 1 : 0;
