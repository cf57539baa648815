import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { commandText, shell } from './command-text.ts';

const hostile = ['web 05;x', "it's", '$(id)', '', '-n', 'a\nb', '~', '*', '/dev/sda1', '`id`'];

function readByShell(line: string): string[] {
  const printed = execFileSync('sh', ['-c', `printf '%s\\0' ${line}`], { encoding: 'utf8' });
  return printed.split('\0').slice(0, -1);
}

describe('a command as text', () => {
  it('is read by a shell as the same words', () => {
    expect(readByShell(commandText(hostile))).toEqual(hostile);
  });

  it('has what is filled in quoted, and the rest as it stands', () => {
    expect(shell`intervene enroll ${'web 05;x'} --mode resident`).toBe(
      "intervene enroll 'web 05;x' --mode resident",
    );
    expect(readByShell(shell`${hostile[1] ?? ''} G-${311} ${hostile[2] ?? ''}`)).toEqual([
      "it's",
      'G-311',
      '$(id)',
    ]);
  });
});
