import { expect, it } from 'vitest';
import { readEntry, unitsOf } from './archive-contents.ts';
import { mentioned } from './package-change.ts';
import { readUris } from './package-archives.ts';

it.each([
  ['-rw-r--r-- root/root       812 2024-05-01 10:00 ./etc/a b.conf', '/etc/a b.conf', 812],
  ['hrw-r--r-- root/root         0 2024-05-01 10:00 ./usr/x link to ./usr/y', '/usr/x', 0],
])('%s', (line, path, bytes) => {
  expect(readEntry(line)).toEqual({ path, bytes });
});

it.each([
  'drwxr-xr-x root/root         0 2024-05-01 10:00 ./etc/',
  'lrwxrwxrwx root/root         0 2024-05-01 10:00 ./usr/x -> y',
  '',
])('takes no room: %s', (line) => {
  expect(readEntry(line)).toBeNull();
});

it('finds services among files, each once', () => {
  expect(
    unitsOf([
      '/lib/systemd/system/nginx.service',
      '/etc/init.d/nginx',
      '/etc/init.d/old',
      '/usr/lib/systemd/system/apt.timer',
      '/usr/lib/systemd/system/x.service.d/y.conf',
      '/usr/lib/systemd/user/z.service',
    ]),
  ).toEqual(['apt.timer', 'nginx.service', 'old']);
});

it('counts a service only where a program of the package calls it', () => {
  const units = ['nginx.service', 'other.service'];
  expect(mentioned(units, 'deb-systemd-invoke restart nginx.service')).toEqual(['nginx.service']);
  expect(mentioned(units, 'invoke-rc.d nginx restart')).toEqual(['nginx.service']);
  expect(mentioned(units, 'echo nginx')).toEqual([]);
});

it('finds archives where apt leaves them, or where they lie already', () => {
  const printed = [
    'Need to get 1 B of archives.',
    "'http://deb.example/pool/a_1%3a2.0_all.deb' a_1%3a2.0_all.deb 804 MD5Sum:94",
    "'file:/srv/repo/./b_1.0_all.deb' b_1.0_all.deb 788 SHA256:3f",
  ].join('\n');
  expect(readUris(printed, '/scratch')).toEqual([
    { path: '/scratch/a_1%3a2.0_all.deb', bytes: 804 },
    { path: '/srv/repo/b_1.0_all.deb', bytes: 788 },
  ]);
});
