import { describe, expect, it } from 'vitest';
import { suggest } from './suggestion.ts';

const known = ['servers', 'service', 'jobs', 'logs', 'filesystem.repair', 'filesystem.check'];

describe('suggestions', () => {
  it.each([
    ['sevrers', 'servers'],
    ['job', 'jobs'],
    ['log', 'logs'],
    ['filesystem.repiar', 'filesystem.repair'],
    ['filesystem.ch', 'filesystem.check'],
  ])('%s means %s', (word, meant) => {
    expect(suggest(word, known)).toBe(meant);
  });

  it.each(['xyz', '', 'terminal.open'])('says nothing for %j', (word) => {
    expect(suggest(word, known)).toBeNull();
  });
});
