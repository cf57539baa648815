import { expect, it } from 'vitest';
import { readConffiles } from './conffiles.ts';
import { readHolder } from './lock-wait.ts';
import { controlOf } from './repack.ts';
import { archiveName } from './saved-packages.ts';

it('configuration files are read from dpkg, but not those a later version has given up', () => {
  const sum = '0123456789abcdef0123456789abcdef';
  const text = `\n /etc/a.conf ${sum}\n /etc/with space ${sum}\n /etc/old ${sum} obsolete\n /etc/new newconffile\n`;
  expect(readConffiles(text)).toEqual([
    { path: '/etc/a.conf', md5: sum },
    { path: '/etc/with space', md5: sum },
  ]);
});

it("a package's own fields are told from dpkg's notes about it", () => {
  const status = [
    'Package: a',
    'Status: install ok installed',
    'Version: 1',
    'Conffiles:',
    ' /etc/a.conf 0123',
    'Description: short',
    ' long',
    '',
  ].join('\n');
  expect(controlOf(status)).toBe('Package: a\nVersion: 1\nDescription: short\n long\n');
});

it('who holds the lock is named, and nobody where only other locks are held', () => {
  const other = '(undefined) -1 /run/host/os-release...\n(undefined) -1 \ncron 40 /run/crond.pid\n';
  expect(readHolder(`${other}unattended-upgr 312 /var/lib/dpkg/lock-frontend\n`)).toBe(
    'unattended-upgr (process 312)',
  );
  expect(readHolder(other)).toBeNull();
  expect(readHolder('')).toBeNull();
});

it('an archive is named as apt names it', () => {
  expect(archiveName({ name: 'a', version: '1:2_3', architecture: 'all' })).toBe(
    'a_1%3a2%5f3_all.deb',
  );
});
