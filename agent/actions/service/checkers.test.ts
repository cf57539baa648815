import { describe, expect, it } from 'vitest';
import { checkerOf } from './checkers.ts';

describe('the checker of a service', () => {
  it.each([
    ['nginx.service', '/usr/sbin/nginx -g daemon on;', ['nginx', '-t', '-q']],
    ['nginx.service', 'nginx -c /srv/n.conf -g x', ['nginx', '-t', '-q', '-c', '/srv/n.conf']],
    ['nginx.service', 'nginx -c $CONF', ['nginx', '-t', '-q']],
    ['nginx.service', 'nginx -c', ['nginx', '-t', '-q']],
    ['ssh.service', '/usr/sbin/sshd -D', ['sshd', '-t']],
    ['sshd.service', 'sshd -D -f /etc/x', ['sshd', '-t', '-f', '/etc/x']],
    ['postfix@-.service', '', ['postfix', 'check']],
    ['php8.2-fpm.service', '', ['php-fpm8.2', '-t']],
    ['php-fpm.service', '', ['php-fpm', '-t']],
    ['apache2.service', '', ['apache2ctl', 'configtest']],
  ])('of %s started by %j', (unit, words, argv) => {
    expect(checkerOf(unit, words)?.argv).toEqual(argv);
  });

  it.each(['nginx.socket', 'my-nginx.service', 'nginx2.service', 'cron.service'])(
    'is not known for %s',
    (unit) => {
      expect(checkerOf(unit, '')).toBeUndefined();
    },
  );
});
