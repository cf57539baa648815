import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { E2fsckTranscript } from './e2fsck-transcript.ts';

function read(out: string, err = ''): E2fsckTranscript {
  const transcript = new E2fsckTranscript();
  transcript.take('out', Buffer.from(out));
  transcript.take('err', Buffer.from(err));
  transcript.end();
  return transcript;
}

/** Recorded from e2fsck 1.47.0. */
const REPAIR = `data: recovering journal
Pass 1: Checking inodes, blocks, and sizes
Pass 2: Checking directory structure
Entry 'shop' in /srv (13) has deleted/unused inode 14.  Clear? yes

Pass 3: Checking directory connectivity
Pass 4: Checking reference counts
Unattached inode 19
Connect to /lost+found? yes

Inode 19 ref count is 2, should be 1.  Fix? yes

Pass 5: Checking group summary information
Block bitmap differences:  -2330 -(2365--2394)
Fix? yes

Inode bitmap differences: Group 0 inode bitmap does not match checksum.
FIXED.
Group 1 inode bitmap does not match checksum.
IGNORED.

data: ***** FILE SYSTEM WAS MODIFIED *****
data: 21/8192 files (0.0% non-contiguous), 7078/32768 blocks
`;

describe("e2fsck's words", () => {
  it('are taken apart into problems, each with its answer', () => {
    expect(read(REPAIR, 'e2fsck 1.47.0 (5-Feb-2023)\n').problems).toEqual([
      { text: "Entry 'shop' in /srv (13) has deleted/unused inode 14. Clear? yes", answer: 'yes' },
      { text: 'Unattached inode 19 Connect to /lost+found? yes', answer: 'yes' },
      { text: 'Inode 19 ref count is 2, should be 1. Fix? yes', answer: 'yes' },
      { text: 'Block bitmap differences: -2330 -(2365--2394) Fix? yes', answer: 'yes' },
      {
        text: 'Inode bitmap differences: Group 0 inode bitmap does not match checksum. FIXED.',
        answer: null,
      },
      { text: 'Group 1 inode bitmap does not match checksum. IGNORED.', answer: null },
    ]);
  });

  it('tell what went to lost+found and what was removed', () => {
    const transcript = read(REPAIR);
    expect(transcript.reconnected).toEqual([19]);
    expect(transcript.removals).toBe(1);
    expect(read(REPAIR.replaceAll('? yes', '? no'))).toMatchObject({
      reconnected: [],
      removals: 0,
    });
  });

  it('mean the same however they are cut', () => {
    const whole = read(REPAIR).problems;
    fc.assert(
      fc.property(fc.array(fc.nat(REPAIR.length)), (cuts) => {
        const transcript = new E2fsckTranscript();
        const places = [0, ...cuts.toSorted((one, other) => one - other), REPAIR.length];
        places.slice(1).forEach((end, index) => {
          transcript.take('out', Buffer.from(REPAIR.slice(places[index], end)));
        });
        transcript.end();
        expect(transcript.problems).toEqual(whole);
      }),
    );
  });

  it('mean the same however they are cut also when a line is very long', () => {
    const numbers = Array.from({ length: 5000 }, (_, block) => `-${block}`).join(' ');
    const words = `Block bitmap differences: ${numbers}\nFix? yes\n\n${numbers} Clear? yes\n`;
    const whole = read(words);
    expect(whole.problems.map(({ answer }) => answer)).toEqual(['yes', 'yes']);
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9000 }), (step) => {
        const transcript = new E2fsckTranscript();
        for (let at = 0; at < words.length; at += step) {
          transcript.take('out', Buffer.from(words.slice(at, at + step)));
        }
        transcript.end();
        expect(transcript.problems).toEqual(whole.problems);
      }),
    );
  });

  it('come in the same order whichever channel is read first', () => {
    const warning = '[QUOTA WARNING] Usage inconsistent for ID 0\n';
    const one = new E2fsckTranscript();
    one.take('err', Buffer.from(warning));
    one.take('out', Buffer.from(REPAIR));
    one.end();
    expect(one.problems).toEqual(read(REPAIR, warning).problems);
    expect(one.problems.at(-1)?.text).toBe(warning.trim());
  });

  it.each([
    ['x has unsupported feature(s): FEATURE_I31\ne2fsck: Get a newer version of e2fsck!\n'],
    ['e2fsck: Filesystem has unsupported feature(s) while trying to open x\n'],
    ['e2fsck: Filesystem has unsupported read-only feature(s) while trying to open x\n'],
    ['e2fsck: Filesystem revision too high while trying to open x\n'],
    ['e2fsck: Unknown checksum algorithm while trying to open x\n'],
    ['Journal superblock has an unknown incompatible feature flag set.\nAbort? no\n'],
    ['Journal superblock has an unknown read-only feature flag set.\nAbort? no\n'],
  ])('say that the tool is too old: %j', (words) => {
    expect(read('', words).isTooOld).toBe(true);
    expect(read(words).isTooOld).toBe(true);
  });

  it.each([
    ['/dev/sda1: Input/output error while reading block 16385'],
    ['Error reading block 16385 (Input/output error).  Ignore error? no'],
    ['x: Attempt to read block from filesystem resulted in short read reading journal superblock'],
  ])('say that the disk fails: %j', (words) => {
    expect(read(words).hasInputOutputError).toBe(true);
  });

  it.each([['/dev/loop0 is mounted.'], ['e2fsck: Device or resource busy while trying to open x']])(
    'say that the device is in use: %j',
    (words) => {
      expect(read('', words).isBusy).toBe(true);
    },
  );

  it('are not confused by names on the disk', () => {
    const names = [
      "Entry 'Get a newer version of e2fsck!' in /srv (13) has deleted/unused inode 14.  Clear? yes",
      "Entry 'Input/output error' in /srv (13) has deleted/unused inode 15.  Clear? yes",
      'Directory inode 5 (/x is mounted.) has a problem.  Fix? yes',
      "Entry 'x: 1/2 files (' in /srv (13) has deleted/unused inode 16.  Clear? yes",
      "Entry 'x: recovering journal' in /srv (13) has deleted/unused inode 17.  Clear? yes",
      "Entry '*****' in /srv (13) has deleted/unused inode 18.  Clear? yes",
    ];
    const transcript = read(names.join('\n\n'));
    expect(transcript).toMatchObject({
      isTooOld: false,
      hasInputOutputError: false,
      isBusy: false,
    });
    expect(transcript.problemCount).toBe(names.length);
  });

  it('lose what a terminal would act on, and are kept short', () => {
    const transcript = read(`Entry '\u001b[2J${'x'.repeat(5000)}' in /  Clear? yes\n`);
    expect(transcript.problems[0]!.text).not.toContain('\u001b');
    expect(transcript.problems[0]!.text.length).toBeLessThanOrEqual(400);
    const endless = read('y'.repeat(100_000));
    expect(endless.problems[0]!.text.length).toBeLessThanOrEqual(400);
  });

  it('count all problems and keep the first ones', () => {
    const many = Array.from(
      { length: 5000 },
      (_, inode) => `Inode ${inode} is wrong.  Fix? yes\n\n`,
    );
    const transcript = read(many.join(''));
    expect(transcript.problemCount).toBe(5000);
    expect(transcript.problems.length).toBe(2000);
  });

  it('offer to tidy up healthy file systems, which is no problem', () => {
    const transcript = read(
      'Pass 1E: Optimizing extent trees\nInode 12 extent tree (at level 1) could be shorter.  Optimize? no\n',
    );
    expect(transcript.problemCount).toBe(0);
    expect(transcript.offers).toHaveLength(1);
  });

  it('tell of backup blocks and of a lost journal', () => {
    expect(read('e2fsck: Superblock invalid, trying backup blocks...\n').usedBackupBlocks).toBe(
      true,
    );
    expect(read('*** journal has been deleted ***\n').journalLost).toBe(true);
  });
});
