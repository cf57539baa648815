import { readFileSync, globSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '../..');
/** `^\s*` or `^\s+`, also within a group or a look ahead, of an expression with the flag m. */
const LITERAL =
  /\/(?:\\.|[^/\\\n])*\^\(*(?:\?[:=!]|\?<\w+>)?\(*\\s[*+{](?:\\.|[^/\\\n])*\/[dgisuvy]*m/;
const CONSTRUCTED = /\^\(*(?:\?[:=!])?\\{1,2}s[*+{].*['"`],\s*'[dgisuvy]*m/;

it('no line of a text is looked for across the empty lines before it: that takes the square of their number', () => {
  const found = globSync('agent/**/*.ts', { cwd: root }).flatMap((file) =>
    readFileSync(join(root, file), 'utf8')
      .split('\n')
      .flatMap((line, at) =>
        LITERAL.test(line) || CONSTRUCTED.test(line) ? [`${file}:${at + 1}: ${line.trim()}`] : [],
      ),
  );
  expect(found, 'write ^[ \\t]* instead, or go line by line').toEqual([]);
});

it.each(['/^\\s*User/m', '/^(\\s*)User/gm', '/^(?!\\s*#)a/im', '/a|^\\s+b/m'])(
  '%s is found',
  (text) => {
    expect(text).toMatch(LITERAL);
  },
);
