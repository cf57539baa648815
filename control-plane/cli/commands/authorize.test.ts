import { beforeEach, describe, expect, it } from 'vitest';
import { openDocument } from '../../../proto/documents/document.ts';
import { FAR_NOW } from '../../../test/fixtures/far-end.ts';
import { envelopeBytes, useCliWorld } from '../../../test/fixtures/cli-world.ts';

const its = useCliWorld();
const asCarol = { profile: 'carol' };

describe('authorize', () => {
  beforeEach(() => {
    its.cli.addKey('carol', 'signing', its.world.account.signing, {
      person: its.world.lead.person,
      name: 'carol',
    });
  });
  const wordsFor = (actions: string, ...more: string[]) => [
    'authorize',
    'web-04',
    '--ticket',
    'T-8817',
    '--actions',
    actions,
    ...more,
  ];
  const words = (...more: string[]) => wordsFor('filesystem.*', ...more);
  const signed = () => {
    const last = its.farEnd.grants.at(-1);
    return openDocument('grant', envelopeBytes(last?.['envelope']), [its.world.account.signing.key])
      .payload;
  };

  it('signs exactly the text that was shown, after two questions and a yes', async () => {
    const done = await its.cli.run(words('--for', '2h'), {
      ...asCarol,
      columns: 100,
      answers: ['unsure\r', 'n\r', 'y\r'],
    });
    expect(done.status).toBe(0);
    const grant = signed();
    for (const line of grant.shownText.trimEnd().split('\n')) expect(done.stderr).toContain(line);
    expect(grant).toMatchObject({
      ticket: 'T-8817',
      highestClass: 'C',
      backupExists: 'unsure',
      interruptionAccepted: false,
      acceptsStepsWithoutUndo: false,
      engineers: null,
      expiresAt: FAR_NOW / 1000 + 7200,
    });
  });

  it.each([
    [['--engineer', 'foo'], '--engineer foo is no fingerprint'],
    [['--class-c-engineers', '0'], '--class-c-engineers 0: 1 to 4.'],
    [['--class-c-engineers', '5'], '--class-c-engineers 5: 1 to 4.'],
    [['--ticket', 'T-1\nfor nothing'], 'in one line'],
    [['--ticket', 'T-1\u202e'], 'all of which can be seen'],
    [['--ticket', ''], '1 to 100 characters'],
    [Array.from({ length: 40 }, () => ['--actions', 'filesystem.*']).flat(), 'actions: Too big'],
  ])('refuses %j before anything is asked or shown', async (more, text) => {
    const answers = ['--backup', 'yes', '--interruption', 'yes', '--yes'];
    const before = its.farEnd.grants.length;
    const ticket = more[0] === '--ticket' ? [] : ['--ticket', 'T-8817'];
    const given = [...ticket, '--actions', 'filesystem.*', ...more, ...answers];
    const done = await its.cli.run(['authorize', 'web-04', ...given], asCarol);
    expect(done).toMatchObject({ status: 2, stdout: '', stderr: expect.stringContaining(text) });
    expect(done.stderr).not.toContain('You allow');
    expect(its.farEnd.grants).toHaveLength(before);
  });

  it('takes answers that were typed ahead', async () => {
    const options = { ...asCarol, columns: 100, answers: ['yes\rno\ry\r'] };
    expect((await its.cli.run(words(), options)).status).toBe(0);
    expect(signed()).toMatchObject({ backupExists: 'yes', interruptionAccepted: false });
  });

  it('signs nothing without a yes', async () => {
    const done = await its.cli.run(words(), {
      ...asCarol,
      columns: 100,
      answers: ['yes\r', 'yes\r', '\r'],
    });
    expect(done.status).toBe(4);
    expect(done.stderr).toContain('nobody was given any permission');
    expect(its.farEnd.grants).toHaveLength(0);
  });

  it('asks nobody where nobody is, and names the flag', async () => {
    const done = await its.cli.run(words('--yes'), asCarol);
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('--backup yes|no|unsure');
  });

  const answered = ['--backup', 'yes', '--interruption', 'yes', '--yes'];

  it('limits parameters, engineers and class as told, and says so in the text', async () => {
    const done = await its.cli.run(
      wordsFor(
        'filesystem.check,filesystem.repair',
        '--limit',
        'device=/dev/sda2',
        '--limit',
        'device=/dev/sdb1',
        '--highest-class',
        'A',
        '--engineer',
        its.world.engineers[0].fingerprint,
        ...answered,
      ),
      asCarol,
    );
    expect(done.stdout).toBe('G-311\n');
    const grant = signed();
    const parameters = { device: ['/dev/sda2', '/dev/sdb1'] };
    expect(grant.actions).toEqual([
      { pattern: 'filesystem.check', parameters },
      { pattern: 'filesystem.repair', parameters },
    ]);
    expect(grant.highestClass).toBe('A');
    expect(grant.shownText).toContain('with device = "/dev/sda2" or "/dev/sdb1"');
    expect(grant.shownText).toContain('only the engineers with the keys');
    expect(grant.shownText).toContain('Only say what it would do');
  });

  it.each([
    [['--limit', 'devise=/x'], /no.* parameter|has a parameter/],
    [['--for', '25h'], /24h at most/],
    [['--limit', 'device'], /name=value/],
    [['--ssh-key-file', '/dev/null'], /public SSH key/],
  ])('refuses %j', async (more, text) => {
    const done = await its.cli.run(words(...more, ...answered), asCarol);
    expect(done.status).toBe(2);
    expect(done.stderr).toMatch(text);
  });

  it('refuses a limit that an allowed action does not have, and unknown actions', async () => {
    const all = [
      'authorize',
      'web-04',
      '--ticket',
      'T',
      '--actions',
      '*',
      '--limit',
      'device=/x',
      ...answered,
    ];
    expect((await its.cli.run(all, asCarol)).stderr).toMatch(
      /also allows [a-z.]+, which has no device/,
    );
    const wrong = ['authorize', 'web-04', '--ticket', 'T', '--actions', 'filesytem.*', ...answered];
    expect((await its.cli.run(wrong, asCarol)).stderr).toContain('Did you mean filesystem.*?');
  });

  it('extends a grant with the same terms and a new end, and refuses to change them', async () => {
    const before = its.farEnd.addGrant({ actions: [{ pattern: 'filesystem.check' }] });
    const done = await its.cli.run(
      ['authorize', '--extend', 'G-311', '--for', '6h', '--yes'],
      asCarol,
    );
    expect(done.stdout).toBe('G-312\n');
    expect(signed()).toMatchObject({
      extends: before['id'],
      actions: [{ pattern: 'filesystem.check' }],
      expiresAt: FAR_NOW / 1000 + (4 + 6) * 3600,
    });
    const more = await its.cli.run(
      ['authorize', '--extend', '311', '--actions', 'command.run', '--yes'],
      asCarol,
    );
    expect(more.status).toBe(2);
  });

  it('needs a signing key of the account', async () => {
    its.cli.addKey('carol', 'signing', its.world.account.recovery, {
      person: its.world.lead.person,
      name: 'carol',
    });
    const done = await its.cli.run(words(...answered), asCarol);
    expect(done).toMatchObject({ status: 3, stderr: expect.stringContaining('no_account_key') });
  });

  it('can be taken back: unsigned at once, then signed', async () => {
    const grant = its.farEnd.addGrant();
    const done = await its.cli.run(['revoke', 'G-311', '--after-step'], asCarol);
    expect(done.status).toBe(0);
    expect(its.farEnd.revocations[0]).toEqual({ grant: grant['id'], afterStep: true });
    const revoke = openDocument('revoke', envelopeBytes(its.farEnd.revocations[1]?.['envelope']), [
      its.world.account.signing.key,
    ]);
    expect(revoke.payload).toMatchObject({ grants: [grant['id']], afterStep: true });
  });

  it('is taken back without any key too', async () => {
    its.farEnd.addGrant();
    const done = await its.cli.run(['revoke', '311']);
    expect(done.status).toBe(0);
    expect(its.farEnd.revocations).toHaveLength(1);
    expect(done.stderr).toContain('Agents obey it all the same');
  });

  it('is not taken back by a slip of the finger', async () => {
    its.farEnd.addGrant();
    const done = await its.cli.run(['revoke', '311'], { ...asCarol, columns: 80, answers: ['\r'] });
    expect([done.status, its.farEnd.revocations]).toEqual([4, []]);
  });
});

describe('enroll', () => {
  it('passes on what the local policy shall allow, quoted for the shell', async () => {
    const words = ['--allow', 'filesystem.*', '--allow', '*', '--highest-class', 'C', '--no-wait'];
    words.push('--allow-no-undo');
    const done = await its.cli.run(['enroll', 'web-04', '--mode', 'resident', ...words], asCarol);
    expect(done.stdout).toContain(` --allow 'filesystem.*' --allow '*' --highest-class C --token `);
    expect(done.stdout).toContain(' --url https://cp.example.net --ca ');
    expect(done.stdout).toMatch(/ --token \S+ --allow-no-undo \)\n/);
  });

  it.each(['bogus.*', 'boot*.*', 'filesystem.chekc'])(
    'makes no line for --allow %s, which matches no action',
    async (pattern) => {
      const before = its.farEnd.requests.length;
      const words = ['enroll', 'web-04', '--mode', 'resident', '--allow', pattern];
      const done = await its.cli.run(words, asCarol);
      expect(done).toMatchObject({
        status: 2,
        stdout: '',
        stderr: expect.stringContaining(`No action is named "${pattern}"`),
      });
      expect(its.farEnd.requests).toHaveLength(before);
    },
  );

  it('prints one line with every digest, and waits until the agent is there', async () => {
    const { agent } = its.farEnd;
    its.farEnd.agent = null;
    setTimeout(() => (its.farEnd.agent = agent), 100);
    const done = await its.cli.run(['enroll', 'web-04', '--mode', 'resident', '--wait'], asCarol);
    for (const digest of [
      its.world.root.digest,
      its.world.account.digest,
      'c'.repeat(64),
      'd'.repeat(64),
    ]) {
      expect(done.stdout).toContain(digest);
    }
    expect(done.stdout.trim().split('\n')).toHaveLength(1);
    expect(done.stderr).toContain('connected, agent 0.1.0');
    expect(done.status).toBe(0);
  });

  it('refuses a control plane that names other digests than the pinned ones', async () => {
    its.cli.login(its.farEnd, 'carol', 'client-token', {
      accountKeysDigest: `sha256:${'e'.repeat(64)}`,
    });
    const done = await its.cli.run(['enroll', 'web-04', '--mode', 'resident'], asCarol);
    expect([done.status, done.stdout]).toEqual([3, '']);
    expect(done.stderr).toContain('pin_mismatch');
  });

  it('warns of what it did not pin itself', async () => {
    const done = await its.cli.run(['enroll', 'web-04', '--mode', 'rescue']);
    expect(done.stderr).toContain('account keys comes from the control plane');
    expect(done.stderr).toContain('operator root comes from the control plane');
  });
});
