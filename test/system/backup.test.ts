import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { pino } from 'pino';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createEmbeddedPostgres } from '../../control-plane/database/embedded-postgres.ts';
import type { EmbeddedPostgres } from '../../control-plane/database/embedded-postgres.ts';
import { Daemon, eventually } from '../harness/process.ts';
import { Stack } from '../harness/stack.ts';
import { interveneProgram } from '../harness/stack-people.ts';

const lines = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, at) => `${from + at}\n`).join('');

describe('a control plane that is put back from a backup', () => {
  let stack: Stack;
  let file: string;
  let digest: string;
  let identityFile: string;
  let recipient: string;
  let finished: string;
  let halfWay: string;
  let waiting: string;
  let later: string;
  let revoked: number;
  const at = (name: string) => path.join(stack.folder, name);
  const countOf = (name: string) => readFileSync(at(name), 'utf8').split('\n').length - 1;
  const order = async (script: string, ...more: string[]) => {
    const words = ['run', 'web-04', 'command.run', '--yes', '--detach', ...more];
    return (await stack.json<{ id: string }>('lead', ...words, '--', 'sh', '-c', script)).id;
  };
  const succeeded = (id: string) =>
    eventually('the job has succeeded', async () => {
      const view = await stack.job(id);
      return view.state === 'succeeded' ? view : null;
    });
  const backup = (name: string, ...more: string[]) =>
    stack.cli('admin', 'backup', at(name), '--data', stack.data, ...more);
  const restore = (name: string, ...more: string[]) =>
    stack.cli('admin', 'restore', at(name), '--data', stack.data, ...more);
  /** Starts a command of the program and kills it once `isUnderWay`. */
  async function killed(words: string[], isUnderWay: () => boolean): Promise<void> {
    const child = spawn(interveneProgram, words, {
      stdio: 'ignore',
      env: { ...process.env, ...stack.environment },
    });
    const ended = once(child, 'exit');
    // A small backup is written within 50 ms, the pause of `eventually`.
    while (!isUnderWay() && child.exitCode === null) await sleep(1);
    expect(child.exitCode).toBe(null);
    child.kill('SIGKILL');
    await ended;
  }

  beforeAll(async () => {
    stack = await Stack.start();
    const identity = await generateX25519Identity();
    identityFile = at('identity');
    writeFileSync(identityFile, `# of a test\n${identity}\n`, { mode: 0o600 });
    recipient = await identityToRecipient(identity);
    file = 'monday.backup';
    await stack.authorize('command.run');
    revoked = (await stack.authorize('filesystem.*')).number;
    finished = await order('seq 1 500');
    await succeeded(finished);
    const wait = `while [ ! -e ${at('go')} ]; do sleep 0.1; done`;
    halfWay = await order(`seq 1 3000; ${wait}; seq 3001 6000; echo ran >> ${at('half-way')}`);
    await eventually('half of the log is stored', async () => {
      const { log } = await stack.job(halfWay);
      return log.committedBytes > lines(1, 3000).length;
    });
    await stack.agent.end('SIGTERM');
    waiting = await order(`echo hello; echo ran >> ${at('waiting')}`);
    expect((await stack.job(waiting)).state).toBe('queued');
  });
  afterAll(() => stack?.close());

  it('is not backed up unsealed unless that is said, nor over a file that is there', async () => {
    const bare = await backup(file);
    expect([bare.status, bare.stderr]).toEqual([2, expect.stringContaining('--recipient')]);
    expect(existsSync(at(file))).toBe(false);
    writeFileSync(at('taken'), 'mine');
    const taken = await backup('taken', '--no-encryption');
    expect([taken.status, taken.stderr]).toEqual([1, expect.stringContaining('there already')]);
    expect(readFileSync(at('taken'), 'utf8')).toBe('mine');
    const nobody = await stack.cli(
      'admin',
      'backup',
      at(file),
      '--data',
      at('x'),
      '--no-encryption',
    );
    expect([nobody.status, nobody.stderr]).toEqual([1, expect.stringContaining('data folder')]);
    expect(existsSync(at('x'))).toBe(false);
  });

  it('leaves no file that looks like a backup when it is killed while it writes one', async () => {
    const words = ['backup', at(file), '--data', stack.data, '--recipient', recipient];
    await killed(words, () => existsSync(at(`${file}.partial`)));
    expect(existsSync(at(file))).toBe(false);
    expect((await fetch(`${stack.url}/readyz`)).ok).toBe(true);
  });

  it('is saved while it works, sealed, readable by nobody else', async () => {
    const made = await backup(file, '--recipient', recipient, '--json');
    expect(made.status, made.stderr).toBe(0);
    const bytes = readFileSync(at(file));
    digest = `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
    expect(JSON.parse(made.stdout)).toMatchObject({
      sealed: true,
      digest,
      files: expect.arrayContaining(['ca/ca.key', 'ca/ca.crt']) as string[],
    });
    expect(statSync(at(file)).mode & 0o777).toBe(0o600);
    expect(bytes.includes('PRIVATE KEY')).toBe(false);
    expect(existsSync(at(`${file}.partial`))).toBe(false);
    const plain = await backup('plain.backup', '--no-encryption');
    expect([plain.status, plain.stderr]).toEqual([0, expect.stringMatching(/sha256:[0-9a-f]{64}/)]);
  });

  it('goes on, and loses what was done since when its data is lost', async () => {
    stack.agent.start();
    writeFileSync(at('go'), '');
    await succeeded(halfWay);
    await succeeded(waiting);
    later = await order('echo later');
    await succeeded(later);
    await stack.ok('carol', 'revoke', `G-${revoked}`, '--yes');
    await eventually('the agent keeps what the client signed', () => {
      const kept = readFileSync(path.join(stack.state, 'trust', 'revocations.json'), 'utf8');
      return (JSON.parse(kept) as { signed: string[] }).signed.length > 0;
    });
    await eventually('the agent has let go of the logs', () =>
      [halfWay, waiting, later].every(
        (id) => !existsSync(path.join(stack.state, 'jobs', id, 'spool')),
      ),
    );
    expect([countOf('half-way'), countOf('waiting')]).toEqual([1, 1]);
    await stack.controlPlane.end('SIGTERM');
    renameSync(stack.data, at('lost'));
  });

  it('is not restored from an unsealed file in its place, nor from another than that of the digest', async () => {
    const plain = 'plain.backup';
    const passphrase = at('passphrase');
    writeFileSync(passphrase, 'a long one\n');
    const refused = async (status: number, says: string, name: string, ...more: string[]) => {
      const done = await restore(name, ...more);
      expect([done.status, done.stderr]).toEqual([status, expect.stringContaining(says)]);
      expect(existsSync(stack.data)).toBe(false);
    };
    await refused(1, 'backup_not_sealed', plain, '--identity-file', identityFile);
    await refused(1, 'backup_not_sealed', plain, '--passphrase-file', passphrase);
    await refused(2, '--no-encryption', plain);
    await refused(1, 'it is sealed', file, '--no-encryption');
    await refused(2, 'Give one of', plain, '--no-encryption', '--identity-file', identityFile);
    await refused(1, 'digest_mismatch', plain, '--no-encryption', '--digest', digest);
    await refused(2, 'sha256:', plain, '--no-encryption', '--digest', 'sha256:abc');
    const nowhere = ['--identity-file', at('nowhere')];
    await refused(1, 'digest_mismatch', plain, ...nowhere, '--digest', digest);
  });

  it('is not restored by the wrong key, from damage, or over something', async () => {
    const wrong = at('wrong');
    writeFileSync(wrong, await generateX25519Identity());
    const locked = await restore(file, '--identity-file', wrong);
    expect([locked.status, locked.stderr]).toEqual([1, expect.stringContaining('backup_locked')]);
    const bytes = readFileSync(at(file));
    for (const [name, content] of [
      [
        'flipped',
        Buffer.from(bytes).fill(bytes.at(-40)! ^ 1, bytes.length - 40, bytes.length - 39),
      ],
      ['cut', bytes.subarray(0, bytes.length - 100)],
    ] as const) {
      writeFileSync(at(name), content);
      const damaged = await restore(name, '--identity-file', identityFile);
      expect([damaged.status, damaged.stderr]).toEqual([1, expect.stringContaining('damaged')]);
    }
    mkdirSync(stack.data);
    writeFileSync(path.join(stack.data, 'something'), '');
    const occupied = await restore(file, '--identity-file', identityFile);
    expect([occupied.status, occupied.stderr]).toEqual([1, expect.stringContaining('not empty')]);
    expect(readdirSync(stack.data)).toEqual(['something']);
    renameSync(stack.data, at('something'));
    expect(existsSync(`${stack.data}.restoring`)).toBe(false);
  });

  it('is not there when the restore was killed, at any moment, and the next one works', async () => {
    const words = ['restore', at(file), '--data', stack.data, '--identity-file', identityFile];
    const staging = `${stack.data}.restoring`;
    await killed(words, () => existsSync(path.join(staging, 'postgres')));
    expect(existsSync(stack.data)).toBe(false);
    await killed(words, () => existsSync(path.join(staging, 'ca/ca.key')));
    expect(existsSync(stack.data)).toBe(false);
    const done = await restore(file, '--identity-file', identityFile, '--digest', digest);
    expect(done.status, done.stderr).toBe(0);
    expect(done.stderr).toContain('every audit chain holds');
    expect(existsSync(staging)).toBe(false);
  });

  it('lets agents go on, and asks what became of the jobs it does not know the end of', async () => {
    stack.controlPlane.start();
    await stack.ready();
    await stack.connected();
    const half = await succeeded(halfWay);
    expect(half.exitStatus).toBe(0);
    expect(half.log.verified).toBe(false);
    expect(half.log.committedBytes).toBeLessThan(half.log.bytes!);
    expect((await succeeded(waiting)).exitStatus).toBe(0);
    expect([countOf('half-way'), countOf('waiting')]).toEqual([1, 1]);
  });

  it('states the part of a log that is lost, and gives the rest', async () => {
    const read = await stack.cli('lead', 'logs', halfWay, '--tail', 'all');
    expect(read.stdout).toBe(lines(1, 3000));
    expect(read.stderr).toMatch(/gap: the last .* of this log are not kept/);
    const events = await stack.cli('lead', 'jobs', 'show', halfWay, '--json');
    expect(events.stdout).toContain('"verified":false');
    const whole = await stack.cli('lead', 'logs', finished, '--tail', 'all');
    expect([whole.stdout, whole.stderr]).toEqual([lines(1, 500), '']);
    expect((await stack.job(finished)).log.verified).toBe(true);
  });

  it('has a chain that verifies, with what the agent signed', async () => {
    const pack = at('pack.json');
    const { name } = await stack.job(finished);
    await stack.ok('carol', 'interventions', 'pack', name.split('/')[0]!, '--output', pack);
    const verified = await stack.cli('carol', 'verify', pack);
    expect(verified.status, verified.stdout + verified.stderr).toBe(0);
  });

  it('knows nothing of what came after, and gives its numbers to nothing else', async () => {
    await expect(stack.job(later)).rejects.toThrow('404');
    const fresh = await stack.authorize('command.run');
    expect(fresh.number).toBeGreaterThan(revoked + 100);
  });

  it('cannot make an agent forget a revocation, and runs new jobs', async () => {
    const device = ['--param', `device=${at('taken')}`];
    const refused = await stack.cli('lead', 'run', 'web-04', 'filesystem.check', ...device);
    expect([refused.status, refused.stderr]).toEqual([3, expect.stringContaining('revoked')]);
    const id = await order('echo again');
    expect((await succeeded(id)).log.verified).toBe(true);
  });

  describe('on a PostgreSQL of the operator’s own', () => {
    let postgres: EmbeddedPostgres;
    let url: string;
    let other: Daemon;
    beforeAll(async () => {
      const log = pino({ level: 'silent' });
      const directory = at('own-pg');
      const installation = '/usr/lib/postgresql/15';
      postgres = createEmbeddedPostgres({ directory, installation, log });
      await postgres.start();
      const { host } = await postgres.connection('operator');
      url = `postgres:///operator?host=${host}&user=postgres`;
    });
    afterAll(async () => {
      await other?.end('SIGTERM');
      await postgres?.stop();
    });

    it('is put back by another version of it, killed or not, and saved again from there', async () => {
      const data = at('operator');
      const there = ['--data', data, '--database-url', url];
      const words = ['restore', at(file), ...there, '--identity-file', identityFile];
      await killed(words, () => existsSync(path.join(`${data}.restoring`, 'ca/ca.key')));
      expect(existsSync(data)).toBe(false);
      const done = await stack.cli('admin', ...words);
      expect(done.status, done.stderr).toBe(0);
      expect(existsSync(path.join(data, 'postgres'))).toBe(false);

      const again = await stack.cli(
        'admin',
        'restore',
        at(file),
        '--data',
        at('second'),
        ...there.slice(2),
        '--identity-file',
        identityFile,
      );
      expect([again.status, again.stderr]).toEqual([1, expect.stringContaining('not empty')]);
      const passphrase = at('passphrase');
      writeFileSync(passphrase, 'a long one\n');
      const saved = await stack.cli(
        'admin',
        'backup',
        at('own.backup'),
        ...there,
        '--passphrase-file',
        passphrase,
      );
      expect(saved.status, saved.stderr).toBe(0);
      const back = await stack.cli(
        'admin',
        'restore',
        at('own.backup'),
        '--data',
        at('third'),
        '--passphrase-file',
        passphrase,
      );
      expect(back.status, back.stderr).toBe(0);
      other = new Daemon(
        [
          interveneProgram,
          'up',
          '--data',
          at('third'),
          '--listen',
          '127.0.0.1:0',
          '--agent-listen',
          '127.0.0.1:0',
          '--json',
        ],
        at('third.log'),
      );
      other.start();
      await eventually(
        'it runs',
        () => readFileSync(at('third.log'), 'utf8').includes('caPin'),
        60_000,
      );
    });
  });
});
