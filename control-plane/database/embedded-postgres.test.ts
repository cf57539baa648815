import { spawn } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { afterEach, describe, expect, it } from 'vitest';
import { openDatabase } from './database.ts';
import type { Database } from './database.ts';
import { createEmbeddedPostgres } from './embedded-postgres.ts';
import type { EmbeddedPostgres } from './embedded-postgres.ts';
import { postgresUser } from './postgres-user.ts';
import { findPostmaster } from './postmaster.ts';
import { isDatabaseUnavailable, retryWhileUnavailable } from './retry.ts';

const cleanUps: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

const log = pino({ level: 'silent' });

/** mkdtemp makes it 0700: as root, the user that PostgreSQL runs as cannot enter it. */
function privateFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'ivpg-'));
  cleanUps.push(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function createServer(directory: string): EmbeddedPostgres {
  const server = createEmbeddedPostgres({ directory, log });
  cleanUps.push(() => server.stop());
  return server;
}

async function open(server: EmbeddedPostgres): Promise<Database> {
  const database = openDatabase({ ...(await server.connection('things')), max: 3 });
  cleanUps.push(() => database.close());
  return database;
}

const pidOf = (directory: string) => findPostmaster(path.join(directory, 'data'))?.pid;

async function until(condition: () => boolean): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error('waited for 10 s');
    await sleep(10);
  }
}

describe('embedded PostgreSQL', () => {
  it('runs from a folder that only its owner can enter, on a Unix socket alone, durably', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const server = createServer(directory);
    await server.start();
    const database = await open(server);
    const settings = await database.query<{ name: string; setting: string }>(
      `select name, setting from pg_settings where name in
         ('listen_addresses', 'fsync', 'synchronous_commit', 'max_wal_size') order by name`,
    );
    expect(settings.map(({ name, setting }) => `${name}=${setting}`)).toEqual([
      'fsync=on',
      'listen_addresses=',
      'max_wal_size=4096',
      'synchronous_commit=on',
    ]);
    const status = readFileSync(`/proc/${pidOf(directory)}/status`, 'utf8');
    expect(status).not.toMatch(/^Uid:\s+0/m);
  });

  it('keeps what was stored through a clean stop, and leaves no process', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const first = createServer(directory);
    await first.start();
    const pid = pidOf(directory);
    await (await open(first)).query('create table kept as select 7 as value');
    await cleanUps.pop()!();
    await first.stop();
    expect(existsSync(`/proc/${pid}`)).toBe(false);
    expect(readFileSync(path.join(directory, 'server.log'), 'utf8')).toMatch(
      /received fast shutdown request[^]*database system is shut down\n$/,
    );

    const second = createServer(directory);
    await second.start();
    expect(await (await open(second)).query('select value from kept')).toEqual([{ value: 7 }]);
  });

  it('killed with -9 it is back by itself: asking fails as unavailable, then works, with all rows', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const server = createServer(directory);
    await server.start();
    const database = await open(server);
    await database.query('create table rows (value int)');
    for (let round = 1; round <= 3; round++) {
      await database.query('insert into rows values ($1)', [round]);
      const pid = pidOf(directory)!;
      const waiting = database.query('select pg_sleep(30)').catch((error: unknown) => error);
      process.kill(pid, 'SIGKILL');
      expect(isDatabaseUnavailable(await waiting)).toBe(true);
      const count = await retryWhileUnavailable(
        () => database.query('select count(*) as count from rows'),
        { signal: AbortSignal.timeout(15_000) },
      );
      expect(count).toEqual([{ count: round }]);
      expect(pidOf(directory)).not.toBe(pid);
    }
  });

  it('takes over the server that a killed control plane left running', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const starter = path.join(import.meta.dirname, 'embedded-postgres.ts');
    const child = spawn(
      process.execPath,
      [
        '--input-type=module',
        '--eval',
        `const { createEmbeddedPostgres } = await import(${JSON.stringify(starter)});
         const log = { info() {}, warn() {}, error() {} };
         await createEmbeddedPostgres({ directory: process.argv[1], log }).start();
         console.log('started'); setInterval(() => {}, 1000);`,
        directory,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    await new Promise((resolve) => child.stdout.once('data', resolve));
    const pid = pidOf(directory);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;

    const server = createServer(directory);
    await server.start();
    expect(pidOf(directory)).toBe(pid);
    await (await open(server)).query('select 1');

    process.kill(pid!, 'SIGKILL');
    await until(() => ![undefined, pid].includes(pidOf(directory)));
    await cleanUps.pop()!();
    await server.stop();
    expect(pidOf(directory)).toBeUndefined();
  });

  it('is not stopped by a lock file that names another process of the same user', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const first = createServer(directory);
    await first.start();
    process.kill(pidOf(directory)!, 'SIGKILL');
    await first.stop();
    const user = postgresUser(path.join(directory, 'data'));
    const other = spawn('sleep', ['60'], process.getuid?.() === 0 ? { uid: user.uid } : {});
    cleanUps.push(() => void other.kill());
    for (const file of ['postmaster.pid', '.s.PGSQL.5432.lock']) {
      writeFileSync(path.join(directory, 'data', file), `${other.pid}\n/elsewhere\n1\n5432\n.\n`);
    }
    const second = createServer(directory);
    await second.start();
    expect(pidOf(directory)).not.toBe(other.pid);
  });

  it('is not stopped by a lock file that was left empty', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const first = createServer(directory);
    await first.start();
    process.kill(pidOf(directory)!, 'SIGKILL');
    await first.stop();
    writeFileSync(path.join(directory, 'data/postmaster.pid'), '');
    const second = createServer(directory);
    await second.start();
    expect(pidOf(directory)).toBeGreaterThan(1);
  });

  it('answers below a path too long for a socket, and after a set-up that was cut off', async () => {
    const directory = path.join(privateFolder(), 'long'.repeat(40), 'postgres');
    mkdirSync(path.join(directory, 'data.new'), { recursive: true });
    mkdirSync(path.join(directory, 'native.new'));
    writeFileSync(path.join(directory, 'data.new/PG_VERSION'), 'half');
    const server = createServer(directory);
    await server.start();
    expect(await (await open(server)).query('select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('refuses data that another version wrote, and says which', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    mkdirSync(path.join(directory, 'data'), { recursive: true });
    if (process.getuid?.() === 0) chownSync(path.join(directory, 'data'), 65534, 65534);
    writeFileSync(path.join(directory, 'data/PG_VERSION'), '12\n');
    await expect(createServer(directory).start()).rejects.toThrow(/written by PostgreSQL 12/);
  });

  it('says what the server said when it cannot start', async () => {
    const directory = path.join(privateFolder(), 'postgres');
    const server = createEmbeddedPostgres({
      directory,
      log,
      settings: { max_connections: 'many' },
    });
    await expect(server.start()).rejects.toThrow(/invalid value for parameter "max_connections"/);
    await server.stop();
  });
});

describe('the user PostgreSQL runs as', () => {
  const passwd = (...names: string[]) => {
    const file = path.join(privateFolder(), 'passwd');
    const ids: Record<string, number> = { root: 0, postgres: 101, nobody: 65534 };
    writeFileSync(file, names.map((n) => `${n}:x:${ids[n]}:${ids[n]}::/:/bin/sh\n`).join(''));
    return file;
  };

  const absent = '/nonexistent/data';

  it('is ourselves', () => {
    const self = process.getuid!();
    const passwdFile = passwd('root', 'postgres');
    const expected = self === 0 ? 101 : self;
    expect(postgresUser(absent, { passwd: passwdFile }).uid).toBe(expected);
  });

  it('is for root "postgres", or else "nobody", and never root', () => {
    const users = (...names: string[]) => ({ self: 0, passwd: passwd(...names) });
    expect(postgresUser(absent, users('root', 'nobody', 'postgres')).name).toBe('postgres');
    expect(postgresUser(absent, users('root', 'nobody')).name).toBe('nobody');
    expect(() => postgresUser(absent, users('root'))).toThrow(/neither "postgres" nor "nobody"/);
  });

  it('stays the owner of data that exists; data of root or of strangers is refused', () => {
    expect(() => postgresUser('/', { self: 0 })).toThrow(/PostgreSQL cannot run/);
    expect(() => postgresUser('/', { self: 1000 })).toThrow(/belongs to another user/);
  });
});
