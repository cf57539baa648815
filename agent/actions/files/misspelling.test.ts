import { describe, expect, it } from 'vitest';
import { correctMisspelling, differsInOneLetter } from './misspelling.ts';

describe('two words differ in one letter', () => {
  it.each([
    ['hok', 'hook'],
    ['hoook', 'hook'],
    ['statik', 'static'],
    ['treu', 'true'],
    ['gatway', 'gateway'],
    ['x', ''],
  ])('as %j and %j', (one, other) => {
    expect(differsInOneLetter(one, other)).toBe(true);
    expect(differsInOneLetter(other, one)).toBe(true);
  });

  it.each([
    ['hook', 'hook'],
    ['hk', 'hook'],
    ['stakic', 'statsi'],
    ['abcd', 'badc'],
  ])('not as %j and %j', (one, other) => {
    expect(differsInOneLetter(one, other)).toBe(false);
  });
});

describe('a misspelt word', () => {
  const correct = (text: string, line: number, ...right: string[]) =>
    correctMisspelling(text, line, ['hook', 'look', 'input'], async (asked) =>
      right.includes(asked),
    );

  it('is corrected in its line alone, where the checker agrees', async () => {
    expect(await correct('hok\na hok inptu\n', 2, 'hok\na hook inptu\n')).toBe(
      'hok\na hook inptu\n',
    );
  });

  it('stays when two corrections are right, or none', async () => {
    expect(await correct('a cook', 1, 'a hook', 'a look')).toBeNull();
    expect(await correct('a hok', 1)).toBeNull();
    expect(await correct('a hok', 2, 'a hook')).toBeNull();
  });

  it('may stand in an option', async () => {
    expect(await correct('-m x --hok', 1, '-m x --hook')).toBe('-m x --hook');
  });

  it('is never one that is known', async () => {
    expect(await correct('hook', 1, 'look')).toBeNull();
  });
});
