import { constants, DatabaseSync } from 'node:sqlite';
import { ActionError } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { readState } from '../files/file-state.ts';
import { isUnitEnabled, nothingToRepair, type FileRepairs, type Look } from './file-repair.ts';

/** Where fail2ban keeps its bans over restarts, unless fail2ban.local says otherwise (jail.conf(5)). */
const DATABASE = '/var/lib/fail2ban/fail2ban.sqlite3';
const UNIT = 'fail2ban.service';
const SOCKET = '/run/fail2ban/fail2ban.sock';
const BANS_MAX = 10_000;
/** In files of their own lies what is not in the database yet, or is to go out of it again. */
const SIDE_FILES = ['-journal', '-wal'];
const ALLOWED = new Set<number>([
  constants.SQLITE_SELECT,
  constants.SQLITE_READ,
  constants.SQLITE_DELETE,
]);

/** What the bans need that fail2ban would set again when it starts. One that runs is asked itself. */
export async function fail2banDatabaseRepairs(look: Look): Promise<FileRepairs> {
  const { target, unban } = look;
  if (unban === undefined || !(await isUnitEnabled(target.files, UNIT))) return nothingToRepair;
  if (target.kind === 'live' && (await target.files.lstat(SOCKET)) !== null) return nothingToRepair;
  try {
    const bytes = await readDatabase(target);
    if (bytes === null || !bansIn(bytes).includes(unban)) return nothingToRepair;
    const change = {
      kind: 'file' as const,
      path: DATABASE,
      content: withoutBan(bytes, unban),
      mode: 0o600,
    };
    return {
      ...nothingToRepair,
      steps: [
        {
          id: 'fail2ban-database',
          description: `Take the bans of ${unban} out of what fail2ban remembers`,
          changes: [change],
          verify: 'The database holds no ban of the address; every other ban is there.',
        },
      ],
    };
  } catch (error) {
    const why = `${DATABASE} cannot be changed safely (${(error as Error).message}).`;
    const byHand = `Once the server runs: fail2ban-client unban ${unban}.`;
    return { ...nothingToRepair, findings: [`${why} ${byHand}`] };
  }
}

/** Addresses that are banned, each once. Throws what the database cannot be read for. */
export async function bannedAddresses(files: TargetFiles): Promise<string[]> {
  if (!(await isUnitEnabled(files, UNIT))) return [];
  const bytes = await readDatabase({ files, root: new TargetRoot(files.root) });
  return bytes === null ? [] : bansIn(bytes);
}

async function readDatabase({
  files,
  root,
}: Pick<Look['target'], 'files' | 'root'>): Promise<Buffer | null> {
  const state = await readState(root, DATABASE);
  if (state === null) return null;
  for (const suffix of SIDE_FILES) {
    if (((await files.stat(`${DATABASE}${suffix}`))?.size ?? 0) === 0) continue;
    throw new ActionError('database_open', `${DATABASE}${suffix} holds changes of its own`);
  }
  return state.bytes;
}

function bansIn(bytes: Buffer): string[] {
  return withDatabase(bytes, (database) =>
    database
      .prepare('select distinct ip from bips limit ?')
      .all(BANS_MAX)
      .flatMap(({ ip }) => (typeof ip === 'string' ? [ip] : [])),
  );
}

/** The same bytes make the same bytes, so that a plan can show their digest. */
function withoutBan(bytes: Buffer, address: string): Buffer {
  return withDatabase(bytes, (database) => {
    database.prepare('delete from bips where ip = ?').run(address);
    return Buffer.from(database.serialize());
  });
}

/**
 * Opens a database from a disk that may be hostile: in memory, without what its schema would have run (views,
 * triggers, keys that lead to other tables), and for nothing but reading and deleting rows of `bips`.
 */
function withDatabase<T>(bytes: Buffer, body: (database: DatabaseSync) => T): T {
  const options = { enableForeignKeyConstraints: false, defensive: true };
  const database = new DatabaseSync(':memory:', options);
  try {
    database.deserialize(bytes);
    database.exec('pragma trusted_schema = off');
    database.setAuthorizer((action, table, _column, _database, trigger) => {
      const isTable = action === constants.SQLITE_READ || action === constants.SQLITE_DELETE;
      const isAllowed = ALLOWED.has(action) && trigger === null && (!isTable || table === 'bips');
      return isAllowed ? constants.SQLITE_OK : constants.SQLITE_DENY;
    });
    return body(database);
  } finally {
    database.close();
  }
}
