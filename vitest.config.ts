import { defineConfig } from 'vitest/config';
import { COMPILE_CACHE } from './test/fixtures/compile-cache.ts';

/** What tests start reads modules that were compiled before: most of a start is that. */
const env = { NODE_COMPILE_CACHE: COMPILE_CACHE };

export default defineConfig({
  test: {
    // More than there are processors, since tests wait much: for programs, disks and each other.
    maxWorkers: 3,
    // A test that passes on its second try is told at the end of the run, as a race to be mended.
    retry: 1,
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            '{agent,control-plane,proto,scripts}/**/*.test.ts',
            'test/architecture/*.test.ts',
          ],
          globalSetup: ['test/fixtures/compile-cache.ts', 'test/fixtures/database-server.ts'],
          env,
          // Long enough for a machine that does much else: it ends what hangs, and measures nothing.
          testTimeout: 60_000,
          expect: { poll: { timeout: 30_000 } },
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'fuzz',
          // A second try would use other chances.
          retry: 0,
          include: ['test/fuzz/**/*.test.ts'],
          globalSetup: ['test/fixtures/compile-cache.ts', 'test/fixtures/database-server.ts'],
          env,
          testTimeout: 300_000,
          hookTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/system/**/*.test.ts'],
          globalSetup: ['test/fixtures/compile-cache.ts'],
          env,
          testTimeout: 900_000,
          // The first that boots a Debian builds its tree.
          hookTimeout: 600_000,
        },
      },
      {
        test: {
          name: 'lab',
          include: ['test/lab/**/*.test.ts'],
          globalSetup: ['test/fixtures/compile-cache.ts'],
          env,
          testTimeout: 900_000,
          // The first builds the tree of the disks and the disks.
          hookTimeout: 900_000,
        },
      },
    ],
  },
});
