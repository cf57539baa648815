import { describe, expect, it } from 'vitest';
import { E2fsckTranscript } from './e2fsck-transcript.ts';
import { judge, judgeLook } from './verdict.ts';

type Run = Parameters<typeof judge>[0];

function run(exitStatus: number | null, words = '', signal: NodeJS.Signals | null = null) {
  return judge(made(exitStatus, words, signal));
}

function made(exitStatus: Run['exitStatus'], words: string, signal: Run['signal'] = null): Run {
  const transcript = new E2fsckTranscript();
  transcript.take('err', Buffer.from(words));
  transcript.end();
  return { exitStatus, signal, transcript };
}

describe('the verdict on a run of e2fsck', () => {
  it.each([
    [0, 'clean', null],
    [1, 'corrected', null],
    [2, 'corrected', null],
    [3, 'corrected', null],
    [4, 'errors_left', 'errors_left'],
    [5, 'errors_left', 'errors_left'],
    [8, 'operational_error', 'tool_failed'],
    [9, 'operational_error', 'tool_failed'],
    [12, 'operational_error', 'tool_failed'],
    [16, 'operational_error', 'tool_failed'],
    [32, 'operational_error', 'tool_failed'],
    [33, 'operational_error', 'tool_failed'],
    [127, 'operational_error', 'tool_failed'],
    [128, 'operational_error', 'tool_failed'],
  ])('honours each bit of the exit status %d', (status, outcome, reason) => {
    expect(run(status)).toMatchObject({ outcome, reason });
  });

  it('a tool that a signal ended has done nothing to rely on', () => {
    expect(run(null, '', 'SIGKILL')).toMatchObject({
      outcome: 'operational_error',
      reason: 'tool_failed',
      detail: 'e2fsck was ended by SIGKILL.',
    });
  });

  it('failing hardware comes before everything else, whatever the tool exits with', () => {
    const words = '/dev/sda: Input/output error while reading block 3\n';
    for (const status of [0, 1, 4, 8, 12])
      expect(run(status, words).reason).toBe('hardware_failing');
  });

  it('too old is told apart from failed, but only where the tool gave up', () => {
    const words = 'x has unsupported feature(s): FEATURE_R31\n';
    expect(run(8, words)).toMatchObject({ outcome: 'tool_too_old', reason: 'tool_too_old' });
    expect(run(12, words).outcome).toBe('tool_too_old');
    expect(run(0, words).outcome).toBe('clean');
  });

  it('no room for the undo file is told apart too', () => {
    const words = 'u: No space left on device while force-closing undo file\n';
    expect(run(9, words)).toMatchObject({ outcome: 'operational_error', reason: 'no_space' });
  });

  it('says what the tool said when it gave up', () => {
    expect(run(8, 'e2fsck: Cannot proceed with file system check\n').detail).toContain(
      'Cannot proceed',
    );
  });
});

describe('the verdict on a look', () => {
  const problem = 'Directory inode 12, block #0: directory corrupted\n';
  const aborted = `${problem}e2fsck: aborted\n`;

  it('that damage has cut short is that there are errors', () => {
    const verdict = judgeLook(made(12, aborted));
    expect(verdict).toMatchObject({ outcome: 'errors_left', reason: 'errors_left' });
    expect(verdict.detail).toContain('could not look on because of them: aborted');
  });

  it.each([
    ['nothing was found', 12, 'e2fsck: aborted\n', 'tool_failed'],
    ['the status says only that it failed', 8, aborted, 'tool_failed'],
    [
      'the disk fails',
      12,
      `${aborted}x: Input/output error while reading block 1\n`,
      'hardware_failing',
    ],
    [
      'the tool is too old',
      12,
      `${aborted}e2fsck: Get a newer version of e2fsck!\n`,
      'tool_too_old',
    ],
  ])('is none when %s', (_, status, words, reason) => {
    expect(judgeLook(made(status, words)).reason).toBe(reason);
  });
});
