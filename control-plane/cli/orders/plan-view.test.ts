import { describe, expect, it } from 'vitest';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import type { Piece } from '../output/terminal.ts';
import { commandText } from '../../../proto/documents/command-text.ts';
import { planLines } from './plan-view.ts';

const step: Plan['steps'][number] = {
  id: 'fstab',
  description: 'Change etc/fstab so that the system starts without the disk that is gone',
  changes: [
    {
      type: 'diff',
      path: '/etc/fstab',
      diff: '-UUID=0b1f /data ext4 defaults 0 2\n+UUID=0b1f /data ext4 nofail 0 2\n',
    },
    { type: 'command', argv: ['update-initramfs', '-u', "it's"] },
  ],
  declaredFolders: ['/boot'],
  backup: null,
  verify: 'findmnt --verify',
  undo: { possible: false, why: 'nothing was kept' },
  interrupt: 'rollback',
  interruptBoundSeconds: 30,
};
const plan: Plan = {
  server: '05e00000-0000-4000-8000-000000000001',
  action: 'boot.repair-fstab',
  actionVersion: 1,
  parameters: { device: '/dev/sda2', list: ['a'] },
  target: { uuid: '0b1f' },
  summary: 'Two lines\nof summary',
  findings: ['entry 2 names a disk that is gone'],
  preconditions: [{ what: 'etc/fstab', digest: `sha256:${'1'.repeat(64)}` }],
  steps: [step],
};
const heading = {
  digest: `sha256:${'5b1e9c'.padEnd(64, '0')}`,
  class: 'B',
  server: 'web-04',
  usualDuration: '5 s',
} as const;

const textOf = (line: readonly Piece[]) =>
  line.map((piece) => (typeof piece === 'string' ? piece : piece.text)).join('');
const lines = (changes: Partial<Plan> = {}, columns = 80) =>
  planLines({ ...plan, ...changes }, heading, columns).map(textOf);

describe('a plan as people read it', () => {
  it('leaves nothing out', () => {
    expect(lines().join('\n'))
      .toBe(`5b1e9c  boot.repair-fstab  class B to apply  1 step  undo none  usually 5 s
  Two lines
  of summary
  device: /dev/sda2
  list: ["a"]
  uuid: 0b1f
  Found: entry 2 names a disk that is gone
  Only if unchanged: etc/fstab
  1 Change etc/fstab so that the system starts without the disk that is gone
    /etc/fstab
    -UUID=0b1f /data ext4 defaults 0 2
    +UUID=0b1f /data ext4 nofail 0 2
    $ update-initramfs -u 'it'\\''s'
    writes in  /boot  (a program decides which files)
    saves  nothing
    checks findmnt --verify
    undo   none: nothing was kept
    stop   by putting back what it did, within 30 s
  ${heading.digest}`);
  });

  it('wraps sentences to the terminal, but never a command or a diff', () => {
    const narrow = lines({}, 40);
    expect(narrow).toContain('    -UUID=0b1f /data ext4 defaults 0 2');
    expect(narrow).toContain('  1 Change etc/fstab so that the system');
    expect(narrow).toContain('    starts without the disk that is gone');
  });

  it('says how many steps cannot be taken back, and when there is nothing to do', () => {
    const kept = { ...step, undo: { possible: true, how: 'put back' } } as const;
    expect(lines({ steps: [step, kept] })[0]).toContain('2 steps  undo not for 1 step');
    expect(lines({ steps: [kept] })[0]).toContain('undo yes');
    expect(lines({ steps: [] })).toContain('  Nothing is to be done.');
  });

  it('writes commands so that a shell would read the same words', () => {
    expect(commandText(['ls', '-l', 'a b', '', '$HOME', "it's", '/dev/sda1'])).toBe(
      `ls -l 'a b' '' '$HOME' 'it'\\''s' /dev/sda1`,
    );
  });
});
