import { describe, expect, it } from 'vitest';
import { useCliWorld } from '../../../test/fixtures/cli-world.ts';

const its = useCliWorld();

describe('errors', () => {
  it.each([
    [['servers', 'show', 'web-05'], 2, 'Did you mean web-04?'],
    [['run', 'web-04', 'filesystem.chekc'], 2, 'Did you mean filesystem.check?'],
    [['run', 'web-04', 'filesystem.check', '--param', 'devise=/x'], 2, 'did you mean device?'],
    [['jobs', 'show', '1042/9'], 2, 'jobs_not_found'],
    [['serverz'], 2, 'Did you mean servers?'],
    [['people', 'invite', 'x', '--role', 'client'], 2, '--account NAME'],
    [['people', 'invite', 'x', '--role', 'king'], 2, 'client, engineer, lead, auditor, admin'],
    [['servers', 'add', 'x', '--account', 'acmee'], 2, 'Did you mean acme?'],
    [['servers', 'add', 'x'], 2, '--account NAME'],
    [['jobs', 'list', '--state', 'bogus'], 2, 'proposed, queued, delivered, running, succeeded'],
    [
      ['run', 'web-04', 'filesystem.check', '--param', 'device=disk.img'],
      2,
      'device must be an absolute path.',
    ],
    [
      ['run', 'web-04', 'filesystem.check', '--param', 'device=/x', '--key', 'nokey'],
      2,
      'There is no key "nokey" in this profile.',
    ],
    [
      ['run', 'web-04', 'filesystem.check', '--param', 'device=/x', '--ticket', 'a\nb'],
      2,
      'ticket_invalid',
    ],
    [['interventions', 'open', '--server', 'web-04', '--ticket', 'a\nb'], 2, 'ticket_invalid'],
    [['logs', '1042/1', '--tail', 'some'], 2, ''],
  ])('%j ends with %i and says what to do', async (words, status, text) => {
    const done = await its.cli.run(words);
    expect(done.status).toBe(status);
    expect(done.stdout).toBe('');
    expect(done.stderr).toContain(text);
    expect(done.stderr).toMatch(/Happened .*\n.*Safe /s);
  });

  it('are JSON where JSON is asked for, and stdout stays empty', async () => {
    const done = await its.cli.run(['--json', 'servers', 'show', 'web-05']);
    expect(done.stdout).toBe('');
    expect(JSON.parse(done.stderr)).toMatchObject({
      error: {
        code: 'server_not_found',
        exitStatus: 2,
        next: [{ command: 'intervene --profile ana servers list' }],
      },
    });
  });

  it('say so when the control plane does not answer', async () => {
    await its.farEnd.stop();
    const done = await its.cli.run(['servers', 'list']);
    expect(done).toMatchObject({ status: 5, stderr: expect.stringContaining('ECONNREFUSED') });
    await its.farEnd.start();
  });
});
