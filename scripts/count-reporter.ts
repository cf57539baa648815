import { writeFileSync } from 'node:fs';
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
  /** Tests that passed on their second try only: each is a race to be mended. */
  again: string[];
  /** Each file of tests, by its path in the project, and whether it passed. */
  files: [path: string, passed: boolean][];
}

/**
 * Writes what came of a run, as JSON, to the file that INTERVENE_TEST_COUNTS names. A run can fail without
 * a failed test: a file that does not load, an error nobody awaited; such a run counts one.
 */
export default class CountReporter implements Reporter {
  private readonly counts: RunCounts = { passed: 0, failed: 0, skipped: 0, again: [], files: [] };

  onTestCaseResult(test: TestCase): void {
    const { state } = test.result();
    if (state !== 'pending') this.counts[state]++;
    if (test.diagnostic()?.flaky === true) {
      this.counts.again.push(`${test.module.relativeModuleId} > ${test.fullName}`);
    }
  }

  onTestRunEnd(
    modules: readonly TestModule[],
    _: readonly SerializedError[],
    reason: TestRunEndReason,
  ): void {
    if (reason !== 'passed') this.counts.failed ||= 1;
    this.counts.files = modules.map((module) => [module.relativeModuleId, module.ok()]);
    writeFileSync(process.env['INTERVENE_TEST_COUNTS']!, JSON.stringify(this.counts));
  }
}
