import { expect, it } from 'vitest';
import { trustPages } from './trust-pages.ts';

const links = (count: number, bytes = 1000) =>
  Array.from({ length: count }, (_, at) => Buffer.alloc(bytes, at % 256));

it('puts chains that fit into one page, also empty ones', () => {
  expect(trustPages([], [], 5000)).toEqual([{ rootChain: [], accountKeys: [] }]);
  const [root, keys] = [links(1), links(2)];
  expect(trustPages(root, keys, 5000)).toEqual([{ rootChain: root, accountKeys: keys }]);
});

it('loses nothing of longer ones, keeps their order, and no page is larger than it may be', () => {
  const [root, keys] = [links(7), links(300)];
  const pages = trustPages(root, keys, 10_000);
  expect(pages.length).toBeGreaterThan(30);
  expect(pages.flatMap((page) => page.rootChain)).toEqual(root);
  expect(pages.flatMap((page) => page.accountKeys)).toEqual(keys);
  for (const { rootChain, accountKeys } of pages) {
    const bytes = [...rootChain, ...accountKeys].reduce((sum, one) => sum + one.length + 8, 0);
    expect(bytes).toBeLessThanOrEqual(10_000);
  }
});
