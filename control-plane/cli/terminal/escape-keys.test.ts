import { describe, expect, it } from 'vitest';
import { EscapeKeys } from './escape-keys.ts';

/** What the server gets and what this program is asked, key by key. */
function type(text: string): { sent: string; commands: string[] } {
  const keys = new EscapeKeys();
  const result = { sent: '', commands: [] as string[] };
  for (const key of text) {
    const { bytes, command } = keys.push(Buffer.from(key));
    result.sent += bytes.toString();
    if (command !== null) result.commands.push(command);
  }
  return result;
}

describe('keys that mean this program', () => {
  it.each([
    ['a leave at the very start', '~.', '', ['leave']],
    ['a leave after a line', 'ls\r~.', 'ls\r', ['leave']],
    ['help', '\n~?ls', '\nls', ['help']],
    ['a tilde that is meant', '~~.', '~.', []],
    ['a tilde within a line', 'ls ~.', 'ls ~.', []],
    ['a path', 'cd ~/x\r~/bin\r', 'cd ~/x\r~/bin\r', []],
    ['two in a row', '~?~.', '', ['help', 'leave']],
    ['other letters', 'ü\r~ü', 'ü\r~ü', []],
  ])('%s', (_what, typed, sent, commands) => {
    expect(type(typed)).toEqual({ sent, commands });
  });

  it('are found in what is pasted, and the rest of it is not sent', () => {
    const typed = new EscapeKeys().push(Buffer.from('one\r~.reboot\r'));
    expect(typed).toEqual({ bytes: Buffer.from('one\r'), command: 'leave' });
  });
});
