import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['{agent,control-plane,proto}/**/*.test.ts'],
    testTimeout: 20_000,
    hookTimeout: 60_000,
    maxWorkers: 2,
  },
});
