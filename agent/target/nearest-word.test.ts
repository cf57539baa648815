import { expect, it } from 'vitest';
import { nearestWord } from './nearest-word.ts';

it.each([
  ['defualts', 'defaults'],
  ['nosiud', 'nosuid'],
  ['NoExce', 'noexec'],
  ['nossdd', null],
  ['frobnicate', null],
  ['dve', null],
])('the word that %s is meant to be is %s', (word, meant) => {
  expect(nearestWord(word, ['defaults', 'nosuid', 'noexec', 'nossd', 'nossde', 'dev'])).toBe(meant);
});
