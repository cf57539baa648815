import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { useCliWorld } from '../../test/fixtures/cli-world.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completion-script.ts';
import { allCommands, groups } from './declarations/all-commands.ts';

const its = useCliWorld();
const names = [...allCommands.map(({ name }) => name), ...groups.map(({ name }) => name)];

describe('help', () => {
  it.each(names)('of %s begins with two examples that this program understands', async (name) => {
    const { status, stdout, stderr } = await its.cli.run([...name.split(' '), '--help']);
    expect([status, stderr]).toEqual([0, '']);
    const [first, ...lines] = stdout.split('\n');
    expect(first).toBe('Examples:');
    const examples = lines.slice(0, 2);
    for (const example of examples) expect(example).toMatch(/^ {2}\$ .*intervene [a-z]/);
    expect(lines[2]).toBe('');
  });

  it('of the program lists every group and command, and the help command finds them', async () => {
    const { stdout } = await its.cli.run(['--help']);
    expect(stdout).toMatch(/^Examples:\n {2}\$ intervene .*\n {2}\$ intervene /);
    for (const name of names) expect(stdout).toContain(name.split(' ')[0]);
    const one = await its.cli.run(['jobs', 'undo', '--help']);
    expect((await its.cli.run(['help', 'jobs', 'undo'])).stdout).toBe(one.stdout);
    expect((await its.cli.run(['help', 'jobz'])).stderr).toContain('Did you mean jobs?');
  });

  it('tells the exit statuses', async () => {
    const { stdout } = await its.cli.run(['help', 'exit-codes']);
    expect(stdout.split('\n').map((line) => line.split('\t')[0])).toEqual([
      '0',
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '130',
      '',
    ]);
  });

  it('tells the version', async () => {
    expect((await its.cli.run(['--version'])).stdout).toBe('0.1.0\n');
  });
});

describe('the command line', () => {
  it.each([
    ['--disk', 'diagnose', 'web-04', '--disk', '/dev/sdb', '--disk', '/dev/sdc'],
    ['--state', 'jobs', 'list', '--state', 'failed', '--state', 'failed'],
    ['--engineers', 'run', 'web-04', 'diagnostics.collect', '--engineers', '1', '--engineers', '2'],
  ])('takes %s once, and asks nothing of anybody for two', async (flag, ...words) => {
    const done = await its.cli.run(words, { columns: 200 });
    expect([done.status, its.farEnd.requests.length]).toEqual([2, 0]);
    expect(done.stderr).toContain(`${flag} takes one value, and was given two.`);
  });

  it('takes several of what may be several, each of its choices, and no other', async () => {
    const logs = ['logs', '1042/1', '--channel', 'out', '--channel'];
    expect((await its.cli.run([...logs, 'err'])).stderr).toContain('not_found');
    expect((await its.cli.run([...logs, 'in'])).stderr).toContain('Allowed choices are');
    const state = await its.cli.run(['jobs', 'list', '--state', 'x']);
    expect(state.stderr).toContain('Allowed choices are');
  });

  it('takes the common options before and after the command', async () => {
    const before = await its.cli.run(['--json', '--profile', 'carol', 'whoami'], {
      profile: 'none',
    });
    const after = await its.cli.run(['whoami', '--profile', 'carol', '--json'], {
      profile: 'none',
    });
    expect(before.status).toBe(0);
    expect(after).toEqual(before);
  });

  it.each([
    [['servers', 'lst'], 'Did you mean list?'],
    [['servers', 'list', '--jsn'], 'Did you mean --json?'],
    [['jobs', 'watch', '1042/1'], 'Did you mean intervene logs JOB --follow?'],
    [['jobs', 'stop', '1042/1'], 'Did you mean intervene jobs cancel JOB?'],
    [['jobs', 'constructor'], "Unknown command 'constructor'."],
    [['run', 'web-04'], 'Which action?'],
    [['servers'], 'servers needs another word'],
    [[], 'intervene needs another word'],
    [['whoami', 'now'], 'Too many arguments'],
    [['enroll', 'web-04'], '--mode'],
    [['revoke'], 'revoke --help'],
  ])('%j is wrong usage, said with one suggestion', async (words, text) => {
    const done = await its.cli.run(words);
    expect([done.status, done.stdout]).toEqual([2, '']);
    expect(done.stderr).toContain(text);
    expect(done.stderr.split('Did you mean').length).toBeLessThan(3);
  });

  it('says what went wrong in this program itself, without a stack', async () => {
    const done = await its.cli.run([
      'verify',
      '/nowhere',
      '--root',
      `sha256:${'0'.repeat(64)}`,
      '--account-keys',
      `sha256:${'0'.repeat(64)}`,
    ]);
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('/nowhere cannot be read: there is no such file');
    expect(done.stderr).not.toContain('    at ');
  });
});

describe('completion', () => {
  const complete = (...words: string[]) => {
    const script = `${bashCompletion()}
COMP_WORDS=(intervene ${words.map((word) => `'${word}'`).join(' ')})
COMP_CWORD=${words.length}
_intervene
printf '%s\\n' "\${COMPREPLY[@]}"`;
    return spawnSync('bash', ['-c', script], { encoding: 'utf8' }).stdout.trim().split('\n');
  };

  it('knows commands, verbs, options and actions in bash', () => {
    expect(complete('ser')).toEqual(['servers']);
    expect(complete('jobs', '')).toEqual([
      'list',
      'show',
      'cancel',
      'undo',
      'confirm',
      'take-over',
      'abandon',
    ]);
    expect(complete('logs', '1042/1', '--fo')).toEqual(['--follow']);
    expect(complete('run', 'web-04', 'file')).toEqual([
      'filesystem.check',
      'filesystem.repair',
      'filesystem.reclaim',
    ]);
    expect(complete('run', '--yes', 'web-04', 'comm')).toEqual(['command.run']);
    expect(complete('help', 'exit')).toEqual(['exit-codes']);
    expect(complete('help', 'jo')).toEqual(['jobs']);
  });

  it('is not misled by the value of an option, and knows the few values some have', () => {
    expect(complete('--profile', 'erin', 'jobs', 'u')).toEqual(['undo']);
    expect(complete('run', '--timeout', '5m', 'web-04', 'comm')).toEqual(['command.run']);
    expect(complete('enroll', 'web-04', '--mode', 'res')).toEqual(['resident', 'rescue']);
    expect(complete('enroll', 'web-04', '--mode', 'resi')).toEqual(['resident']);
    expect(complete('--profile', 'jo')).toEqual(['']);
    expect(fishCompletion()).toContain("-l mode -x -a 'resident rescue'");
  });

  it('is understood by bash, and says the same for the other shells', () => {
    expect(spawnSync('bash', ['-n', '-c', bashCompletion()]).status).toBe(0);
    for (const script of [zshCompletion(), fishCompletion()]) {
      for (const word of ['servers', 'filesystem.repair', 'exit-codes', 'abandon'])
        expect(script).toContain(word);
    }
  });

  it('is printed for the shells it knows', async () => {
    expect((await its.cli.run(['completion', 'bash'])).stdout).toBe(bashCompletion());
    expect(await its.cli.run(['completion', 'tcsh'])).toMatchObject({ status: 2 });
  });
});
