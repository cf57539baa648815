import { writeFileSync } from 'node:fs';
import { stripVTControlCharacters } from 'node:util';
import type {
  Reporter,
  SerializedError,
  TestCase,
  TestModule,
  TestRunEndReason,
} from 'vitest/node';

/** What came of a run of vitest. */
export interface RunCounts {
  passed: number;
  failed: number;
  skipped: number;
  /** What passed on its second try only, with the first lines of its error: each is a race to be mended. */
  again: string[];
  /** What failed, in the same way. */
  failures: string[];
  /** Each file of tests that did not skip them all, by its path in the project, and whether it passed. */
  files: [path: string, passed: boolean][];
}

const MESSAGE_LINES = 12;

function failure(name: string, errors: readonly { message: string }[]): string {
  const lines = errors.flatMap((error) => stripVTControlCharacters(error.message).split('\n'));
  return [name, ...lines.slice(0, MESSAGE_LINES).map((line) => `    ${line}`)].join('\n');
}

/** A file whose tests are all skipped is well, and has proven nothing. */
function hasRun(module: TestModule): boolean {
  const tests = [...module.children.allTests()];
  return !module.ok() || tests.some((test) => test.result().state !== 'skipped');
}

/**
 * Writes what came of a run, as JSON, to the file that INTERVENE_TEST_COUNTS names. A run can fail without
 * a failed test: a file that does not load, an error nobody awaited; such a run counts one.
 */
export default class CountReporter implements Reporter {
  private readonly counts: RunCounts = {
    passed: 0,
    failed: 0,
    skipped: 0,
    again: [],
    failures: [],
    files: [],
  };

  onTestCaseResult(test: TestCase): void {
    const { state, errors } = test.result();
    const name = `${test.module.relativeModuleId} > ${test.fullName}`;
    if (state !== 'pending') this.counts[state]++;
    if (test.diagnostic()?.flaky === true) this.counts.again.push(failure(name, errors ?? []));
    if (state === 'failed') this.counts.failures.push(failure(name, errors ?? []));
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    unhandled: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    if (reason !== 'passed') this.counts.failed ||= 1;
    for (const module of modules) {
      const errors = module.errors();
      if (errors.length > 0) this.counts.failures.push(failure(module.relativeModuleId, errors));
    }
    if (unhandled.length > 0) this.counts.failures.push(failure('outside of any test', unhandled));
    this.counts.files = modules
      .filter(hasRun)
      .map((module) => [module.relativeModuleId, module.ok()]);
    writeFileSync(process.env['INTERVENE_TEST_COUNTS']!, JSON.stringify(this.counts));
  }
}
