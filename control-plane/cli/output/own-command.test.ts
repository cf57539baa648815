import { describe, expect, it } from 'vitest';
import { ownCommand } from './own-command.ts';

describe('a command to copy', () => {
  it.each([
    ['intervene logs 1042/3 > FILE', 'erin', 'intervene --profile erin logs 1042/3 > FILE'],
    [
      'intervene run web-04 command.run -- id',
      'erin',
      'intervene --profile erin run web-04 command.run -- id',
    ],
    ['intervene jobs list', 'default', 'intervene jobs list'],
    ['intervene init --profile lead', 'erin', 'intervene init --profile lead'],
    ['intervene-agent unlock', 'erin', 'intervene-agent unlock'],
    ['curl -fsS http://127.0.0.1/healthz', 'erin', 'curl -fsS http://127.0.0.1/healthz'],
  ])('%s of %s is %s', (command, profile, own) => {
    expect(ownCommand(command, profile)).toBe(own);
  });
});
