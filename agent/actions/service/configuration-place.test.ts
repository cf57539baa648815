import { describe, expect, it } from 'vitest';
import { configurationPlace } from './configuration-place.ts';

describe('where a service says that its configuration is wrong', () => {
  it.each([
    [
      'nginx: [emerg] invalid number of arguments in "sendfile" directive in /etc/nginx/nginx.conf:23\nnginx: configuration file /etc/nginx/nginx.conf test failed\n',
      ['/etc/nginx/nginx.conf', 23],
    ],
    [
      "AH00526: Syntax error on line 7 of /etc/apache2/sites-enabled/shop.conf:\nInvalid command 'ServerNam'\nAction 'configtest' failed.\n",
      ['/etc/apache2/sites-enabled/shop.conf', 7],
    ],
    [
      "/etc/bind/named.conf.options:24: unknown option 'recursionn'\n",
      ['/etc/bind/named.conf.options', 24],
    ],
    [
      'postfix: fatal: /etc/postfix/main.cf, line 40: missing \'=\' after attribute name: "relayhost"\n',
      ['/etc/postfix/main.cf', 40],
    ],
    [
      "[01-Dec-2026 10:00:00] ERROR: [/etc/php/8.2/fpm/pool.d/www.conf:36] unknown entry 'usr'\n",
      ['/etc/php/8.2/fpm/pool.d/www.conf', 36],
    ],
    [
      '[ALERT]    (77) : config : parsing [/etc/haproxy/haproxy.cfg:5] : unknown keyword\n',
      ['/etc/haproxy/haproxy.cfg', 5],
    ],
    [
      'doveconf: Fatal: Error in configuration file /etc/dovecot/conf.d/10-ssl.conf line 6: Unknown setting: sl\n',
      ['/etc/dovecot/conf.d/10-ssl.conf', 6],
    ],
    ['\ndnsmasq: bad option at line 667 of /etc/dnsmasq.conf\n', ['/etc/dnsmasq.conf', 667]],
    [
      "rsyslogd: error during parsing file /etc/rsyslog.conf, on or before line 8: syntax error on token '}'\n",
      ['/etc/rsyslog.conf', 8],
    ],
    ['/etc/dhcp/dhcpd.conf line 9: semicolon expected.\n', ['/etc/dhcp/dhcpd.conf', 9]],
  ])('is read: %j', (said, [file, line]) => {
    expect(configurationPlace(said)).toMatchObject({ file, line });
  });

  it.each([
    'nginx: [emerg] host not found in upstream "shop" in /etc/nginx/sites-enabled/default:22\n',
    'nginx: [emerg] open() "/etc/nginx/x" failed (13: Permission denied) in /etc/nginx/nginx.conf:9\n',
    'nginx: [emerg] bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)\n',
    'Traceback:\n  File "/usr/lib/python3/dist-packages/fail2ban/x.py", line 12, in <module>\n',
    'nginx: [emerg] open() "/var/log/nginx/error.log" failed (30: Read-only file system)\n',
    '',
  ])('is nowhere where only the running service could tell: %j', (said) => {
    expect(configurationPlace(said)).toBeNull();
  });
});
