import { expect, it } from 'vitest';
import { describeError } from './describe-error.ts';

it('says what went wrong and what was the cause', () => {
  const error = new Error('cannot connect', { cause: new Error('refused') });
  expect(describeError(error)).toBe('cannot connect: refused');
  expect(describeError(Object.assign(new Error('5 NOT_FOUND: no'), { details: 'no' }))).toBe('no');
});

it.each([
  ['\u001B[2J\u001B]0;title\u0007hello\r\nroot#', '⟦U+001B⟧[2J⟦U+001B⟧]0;title⟦U+0007⟧hello root#'],
  ['\u009B31mred', '⟦U+009B⟧31mred'],
  ['right\u202Eleft\u2028next\u200Bend', 'right⟦U+202E⟧left⟦U+2028⟧next⟦U+200B⟧end'],
])('what the other side says is no order to the terminal: %j', (said, shown) => {
  expect(describeError(Object.assign(new Error('x'), { details: said }))).toBe(shown);
  expect(describeError(said)).toBe(shown);
});

it('is short, whatever was said', () => {
  expect(describeError(new Error('a'.repeat(100_000)))).toHaveLength(1_000);
});

it('says in words what the system said of a file', () => {
  const missing = Object.assign(new Error('ENOENT: no such file'), { code: 'ENOENT', path: '/a' });
  expect(describeError(missing)).toMatch(/^\/a: there is no such file.*\(ENOENT\)$/);
  const denied = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/a' });
  expect(describeError(denied)).toBe('/a: permission denied; run it as root (EACCES)');
});
