import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { displayWidth, fitWidth, wrapText } from './display-width.ts';
import { printFacts, printTable } from './table.ts';
import { styled, Terminal } from './terminal.ts';

function terminal(columns?: number) {
  const stream = () => Object.assign(new PassThrough(), { isTTY: columns !== undefined, columns });
  const stdout = stream();
  const made = new Terminal(
    { stdout, stderr: stream(), color: false },
    { json: false, color: true },
  );
  return { made, text: () => String(stdout.read() ?? '') };
}

const rows = [
  { name: 'web-04', note: 'does not boot since the update of last night' },
  { name: 'evil\u001b[2J\tname\n', note: 'short' },
];
const columns = [
  { title: 'SERVER', cell: (row: (typeof rows)[number]) => styled('ok', row.name), keep: true },
  { title: 'NOTE', cell: (row: (typeof rows)[number]) => row.note },
];

describe('a table', () => {
  it('is cut to the width of a terminal, with titles', () => {
    const { made, text } = terminal(40);
    printTable(made, columns, rows.slice(0, 1));
    expect(text()).toBe('SERVER  NOTE\nweb-04  does not boot since the update…\n');
  });

  it('is whole, tab-separated and without titles in a pipe; hostile names stay in their field', () => {
    const { made, text } = terminal();
    printTable(made, columns, rows);
    expect(text()).toBe(
      'web-04\tdoes not boot since the update of last night\nevil⟦U+001B⟧[2J⟦U+0009⟧name⟦U+000A⟧\tshort\n',
    );
  });

  it('lines wide characters up', () => {
    expect([displayWidth('文字'), displayWidth('é'), displayWidth('e\u0301')]).toEqual([4, 1, 1]);
    expect(fitWidth('文字文字', 5)).toBe('文字…');
    expect(wrapText('one two three', 7)).toEqual(['one two', 'three']);
  });

  it('prints names and values aligned on a terminal, tab-separated elsewhere', () => {
    const facts = [
      ['a', '1'],
      ['longer', '2'],
    ] as const;
    const tty = terminal(80);
    printFacts(tty.made, facts);
    expect(tty.text()).toBe('a       1\nlonger  2\n');
    const pipe = terminal();
    printFacts(pipe.made, facts);
    expect(pipe.text()).toBe('a\t1\nlonger\t2\n');
  });
});
