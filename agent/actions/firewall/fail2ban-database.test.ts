import { mkdir, mkdtemp, readFile, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { fail2banDatabaseRepairs } from './fail2ban-database.ts';
import type { Look } from './file-repair.ts';

const CLIENT = '192.0.2.7';
const TABLES = 'create table bips(ip text, jail text); create table bans(ip text);';
const ROWS = `insert into bips values ('${CLIENT}', 'sshd'), ('192.0.2.9', 'sshd');`;

let root: string;
let file: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'ivf-')));
  file = join(root, 'var/lib/fail2ban/fail2ban.sqlite3');
  await mkdir(join(root, 'var/lib/fail2ban'), { recursive: true });
  const wants = join(root, 'etc/systemd/system/multi-user.target.wants');
  await mkdir(wants, { recursive: true });
  await symlink('/lib/systemd/system/fail2ban.service', join(wants, 'fail2ban.service'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

function fill(sql: string): void {
  const database = new DatabaseSync(file);
  database.exec(sql);
  database.close();
}

async function repairs(change: Partial<Look> = {}) {
  const before = await readFile(file);
  const found = await fail2banDatabaseRepairs({
    target: { kind: 'offline', root: new TargetRoot(root), files: new TargetFiles(root) },
    packets: [],
    unban: CLIENT,
    ...change,
  } as unknown as Look);
  expect(await readFile(file)).toEqual(before);
  return found;
}

function rowsAfter({ steps }: Awaited<ReturnType<typeof repairs>>): unknown[] {
  const [change] = steps[0]!.changes;
  if (change?.kind !== 'file' || change.content === null) throw new TypeError('no new file');
  const database = new DatabaseSync(':memory:');
  database.deserialize(change.content);
  const rows = database.prepare('select ip, jail from bips').all();
  database.close();
  return rows;
}

it('takes the bans of one address out, the same way each time', async () => {
  fill(TABLES + ROWS);
  const found = await repairs();
  expect(rowsAfter(found)).toEqual([{ ip: '192.0.2.9', jail: 'sshd' }]);
  expect(await repairs()).toEqual(found);
});

it('has nothing to do for who is not banned, and where nobody is named', async () => {
  fill(TABLES + ROWS);
  expect((await repairs({ unban: '192.0.2.8' })).steps).toEqual([]);
  expect((await repairs({ unban: undefined })).steps).toEqual([]);
});

it.each([
  [
    'a trigger',
    `${TABLES}${ROWS} create trigger t after delete on bips begin delete from bans; end;`,
  ],
  ['a view', `create table real(ip text); create view bips as select * from real;`],
  ['another table', 'create table other(ip text);'],
])('leaves a database alone that has %s where bans belong', async (_what, sql) => {
  fill(sql);
  const { steps, findings } = await repairs();
  expect(steps).toEqual([]);
  expect(findings[0]).toMatch(/cannot be changed safely.*fail2ban-client unban/);
});

it('leaves a database alone that has changes in a file of its own, or is none', async () => {
  fill(TABLES + ROWS);
  await writeFile(`${file}-journal`, 'x');
  expect((await repairs()).findings[0]).toMatch(/-journal holds changes/);
  await rm(`${file}-journal`);
  await writeFile(file, 'no database');
  expect((await repairs()).findings[0]).toMatch(/not a database/);
});
