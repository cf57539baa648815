import { posix } from 'node:path';
import type { ProbeContext } from '../probe.ts';

export interface Account {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
  line: number;
}

/** What /etc/shadow says of one account; the hash itself is never kept. */
export interface Shadow {
  hash: 'usable' | 'locked' | 'none' | 'empty';
  /** Days since 1970 (shadow(5)); null for never. */
  expires: number | null;
  line: number;
}

/** Lines that cannot be read as an account are left out; see `badLines`. */
export function parsePasswd(text: string): Account[] {
  return numbered(text).flatMap(([line, raw]): Account[] => {
    const fields = raw.split(':');
    const [name = '', , uid = '', gid = '', , home = '', shell = ''] = fields;
    if (fields.length !== 7 || !/^\d+$/.test(uid)) return [];
    return [{ name, uid: Number(uid), gid: Number(gid), home, shell: shell || '/bin/sh', line }];
  });
}

export function parseShadow(text: string): Map<string, Shadow> {
  const accounts = new Map<string, Shadow>();
  for (const [line, raw] of numbered(text)) {
    const [name = '', hash = '', , , , , , expires = ''] = raw.split(':');
    accounts.set(name, {
      hash: kindOf(hash),
      expires: /^\d+$/.test(expires) ? Number(expires) : null,
      line,
    });
  }
  return accounts;
}

function kindOf(hash: string): Shadow['hash'] {
  if (hash === '') return 'empty';
  if (hash.startsWith('!')) return 'locked';
  return hash.startsWith('*') || !hash.includes('$') ? 'none' : 'usable';
}

/** Names of the members of each group, those who have it as their first group included. */
export function parseGroups(text: string, accounts: readonly Account[]): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [, raw] of numbered(text)) {
    const [name = '', , gid = '', members = ''] = raw.split(':');
    const own = accounts.filter((account) => String(account.gid) === gid);
    groups.set(name, [
      ...own.map((account) => account.name),
      ...members.split(',').filter(Boolean),
    ]);
  }
  return groups;
}

/** Numbers of the lines that do not have so many fields, or no name. */
export function badLines(text: string, fields: number): number[] {
  return numbered(text)
    .filter(([, raw]) => {
      // NIS: `+` and `-` entries stand for other databases.
      if (/^[+-]/.test(raw)) return false;
      const parts = raw.split(':');
      return parts.length !== fields || parts[0] === '';
    })
    .map(([line]) => line);
}

export function isLoginShell(shell: string): boolean {
  return !['nologin', 'false', 'sync', 'true'].includes(posix.basename(shell));
}

export interface People {
  accounts: Account[];
  shadow: Map<string, Shadow>;
  groups: Map<string, string[]>;
}

export async function readPeople({ files }: Pick<ProbeContext, 'files'>): Promise<People> {
  const accounts = parsePasswd((await files.read('/etc/passwd')) ?? '');
  return {
    accounts,
    shadow: parseShadow((await files.read('/etc/shadow')) ?? ''),
    groups: parseGroups((await files.read('/etc/group')) ?? '', accounts),
  };
}

/** Root, and those who may become root by their group. */
export function administrators({ accounts, groups }: People): Account[] {
  const names = new Set(['sudo', 'wheel', 'admin'].flatMap((group) => groups.get(group) ?? []));
  return accounts.filter(({ name, uid }) => uid === 0 || names.has(name));
}

function numbered(text: string): [number, string][] {
  return text
    .split('\n')
    .map((raw, at): [number, string] => [at + 1, raw])
    .filter(([, raw]) => raw.trim() !== '');
}
