import { describe, expect, it } from 'vitest';
import { refusalReasons } from '../../../proto/documents/reasons.ts';
import { allCommands } from '../declarations/all-commands.ts';
import { describeRefusal } from './refusal-sentences.ts';

const refused = {
  job: '1042/4',
  server: 'web-04',
  action: 'filesystem.repair',
  words: ['--disk', '/dev/sdb'],
  ticket: 'T-8817',
};

describe('refusals of an agent', () => {
  it.each(refusalReasons)(
    '%s is told in a sentence, with what is safe and what comes next',
    (reason) => {
      const { happened, safe, next } = describeRefusal(reason, '', refused);
      expect(happened).toMatch(/^\S.{15,}\.$/);
      expect(happened).not.toContain('_');
      expect(safe).toBe('Nothing was started. The refusal is signed.');
      expect(next[0]?.command).toMatch(/^\S/);
    },
  );

  it.each(refusalReasons)('what %s tells to run is a command that there is', (reason) => {
    const command = describeRefusal(reason, '', refused).next[0]?.command ?? '';
    const known = [
      ...allCommands.map(({ name }) => `intervene ${name}`),
      'intervene-agent ',
      'editor ',
      'apt-get ',
      'df ',
    ];
    expect(known.filter((start) => command.startsWith(start))).not.toEqual([]);
  });

  it('passes on what the agent says', () => {
    expect(describeRefusal('grant_expired', 'it ended 12 s ago', refused).happened).toBe(
      'The authorization has run out. The agent says: it ended 12 s ago',
    );
  });

  it('has words for a reason of a later version', () => {
    expect(describeRefusal('moon_phase', '', refused).happened).toContain('does not know');
    expect(describeRefusal('constructor', '', refused).happened).toContain('does not know');
  });
});
