import { existsSync, readFileSync, statSync } from 'node:fs';
import { userInfo } from 'node:os';

export interface SystemUser {
  name: string;
  uid: number;
  gid: number;
}

/**
 * The user PostgreSQL runs as, which must not be root: ourselves, or for root `postgres`, else `nobody`.
 * Data that exists already stays with its owner, whatever users were added since.
 *
 * Throws when the data belongs to somebody we cannot become.
 */
export function postgresUser(
  dataDirectory: string,
  { self = process.getuid?.() ?? 0, passwd = '/etc/passwd' } = {},
): SystemUser {
  const owner = existsSync(dataDirectory) ? statSync(dataDirectory).uid : undefined;
  if (self !== 0) {
    if (owner !== undefined && owner !== self) {
      throw new Error(`${dataDirectory} belongs to another user (uid ${owner}); run as that user`);
    }
    const { username, uid, gid } = userInfo();
    return { name: username, uid, gid };
  }
  const users = readUsers(passwd);
  const found =
    owner === undefined
      ? (users.find((user) => user.name === 'postgres') ??
        users.find((user) => user.name === 'nobody'))
      : users.find((user) => user.uid === owner);
  if (found === undefined || found.uid === 0) {
    throw new Error(
      owner === undefined
        ? `PostgreSQL does not run as root, and ${passwd} has neither "postgres" nor "nobody"`
        : `${dataDirectory} belongs to uid ${owner}, as which PostgreSQL cannot run`,
    );
  }
  return found;
}

function readUsers(passwd: string): SystemUser[] {
  return readFileSync(passwd, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .filter((fields) => fields.length >= 7)
    .map((fields) => ({ name: fields[0]!, uid: Number(fields[2]), gid: Number(fields[3]) }));
}
