import { expect, it } from 'vitest';
import { pickReferenced } from './reference.ts';

it.each([
  ['job', '9999.1', 'There is no job "9999/1".'],
  ['job', '1004', 'There is no job "1004". Those of 1004 are called 1004/1, 1004/2 and so on.'],
  ['grant', '999', 'There is no grant "G-999".'],
  ['credential', '999', 'There is no credential "C-999".'],
  ['server', 'web.1', 'There is no server "web.1".'],
])('names what is missing as people type it: %s %s', (kind, reference, text) => {
  expect(() => pickReferenced([], reference, kind)).toThrow(text);
});
