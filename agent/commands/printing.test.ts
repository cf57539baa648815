import { expect, it, vi } from 'vitest';
import { printJson, printLines } from './printing.ts';

/** What is written, and where to. */
function written(body: () => void): [string, string][] {
  const all: [string, string][] = [];
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      all.push([name, String(text)]);
      return true;
    }),
  );
  try {
    body();
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
  return all;
}

it('no character of a line is an order to the terminal', () => {
  expect(written(() => printLines(['T-1\u001b[2J', 'two\nlines'], 'stderr'))).toEqual([
    ['stderr', 'T-1⟦U+001B⟧[2J\ntwo⟦U+000A⟧lines\n'],
  ]);
});

it('nor of JSON, which reads back as the same value', () => {
  const value = { name: 'a\u001b\u009b\u202e' };
  const [[name, text] = []] = written(() => printJson(value));
  expect(name).toBe('stdout');
  expect(text).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
  expect(JSON.parse(text ?? '')).toEqual(value);
});
