import { describe, expect, it } from 'vitest';
import { configurationFault } from './configuration-fault.ts';

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
    // What comes before is no reason for it not to start.
    [
      '[warn] the "ssl" directive is deprecated in /etc/nginx/sites-enabled/default:46\n[emerg] unknown directive "foo" in /etc/nginx/nginx.conf:9\n',
      ['/etc/nginx/nginx.conf', 9],
    ],
    [
      '/etc/ssh/sshd_config line 123: Deprecated option KeyRegenerationInterval\n/etc/ssh/sshd_config: line 124: Bad configuration option: Foo\n',
      ['/etc/ssh/sshd_config', 124],
    ],
    [
      "[WARNING]  (7) : config : parsing [/etc/haproxy/haproxy.cfg:3] : 'option forceclose' is ignored\n[ALERT]    (7) : config : parsing [/etc/haproxy/haproxy.cfg:5] : unknown keyword\n",
      ['/etc/haproxy/haproxy.cfg', 5],
    ],
    // The file that includes it is only on the way.
    [
      'apache2: Syntax error on line 222 of /etc/apache2/apache2.conf: Syntax error on line 1 of /etc/apache2/conf-enabled/x.conf: Cannot load /usr/lib/apache2/modules/gone.so into server: No such file or directory\n',
      ['/etc/apache2/conf-enabled/x.conf', 1],
    ],
  ])('is read: %j', (said, [file, line]) => {
    expect(configurationFault(said)?.place).toEqual({ file, line });
  });

  it.each([
    '[warn] the "ssl" directive is deprecated in /etc/nginx/sites-enabled/default:46\n[emerg] cannot load certificate "/etc/ssl/gone.pem": BIO_new_file() failed (No such file or directory)\nnginx: configuration file /etc/nginx/nginx.conf test failed\n',
    'nginx: [alert] could not open error log file: open() "/var/log/nginx/error.log" failed (30: Read-only file system)\n[emerg] cannot load certificate "/etc/ssl/gone.pem"\n',
    'nginx: [emerg] open() "/var/log/shop/access.log" failed (2: No such file or directory)\n',
    'sshd: no hostkeys available -- exiting.\n',
    "ERROR: [pool www] cannot get uid for user 'gone'\nERROR: FPM initialization failed\n",
    "rsyslogd: invalid or yet-unknown config file command 'ModLoadd'\n",
    "mkdir: cannot create directory '/var/spool/postfix/maildrop': File exists\n",
    // Postfix by pipe.
    '',
  ])('is not told by a check that fails for what stands in no line: %j', (said) => {
    expect(configurationFault(said)).toEqual({ place: null, said: said.trim() });
  });

  it.each([
    'nginx: [emerg] host not found in upstream "shop" in /etc/nginx/sites-enabled/default:22\n',
    'nginx: [emerg] open() "/etc/nginx/x" failed (13: Permission denied) in /etc/nginx/nginx.conf:9\n',
    '[warn] the "ssl" directive is deprecated in /etc/nginx/sites-enabled/default:46\nnginx: [emerg] bind() to 0.0.0.0:80 failed (13: Permission denied)\nnginx: configuration file /etc/nginx/nginx.conf test failed\n',
    'nginx: [emerg] bind() to 192.0.2.1:80 failed (99: Cannot assign requested address)\n',
    'nginx: [emerg] open() "/var/log/nginx/error.log" failed (30: Read-only file system)\n',
    'nginx: [emerg] open() "/run/nginx/nginx.pid" failed (2: No such file or directory)\n',
    'ERROR: failed to open error_log (/var/log/php8.2-fpm.log): Read-only file system (30)\nERROR: FPM initialization failed\n',
    "proftpd[2]: mod_ctrls/0.9.5: unable to open ControlsLog '/var/log/proftpd/controls.log': Read-only file system\nproftpd[2]: fatal: ControlsLog: unable to open '/var/log/proftpd/controls.log': No such file or directory on line 125 of '/etc/proftpd/proftpd.conf'\n",
    "warning: unable to determine IP address of 'vm'\nerror: no valid servers configured\nfatal: error processing configuration file '/etc/proftpd/proftpd.conf'\n",
    "[ALERT] (2) : config : parsing [/etc/haproxy/haproxy.cfg:36] : 'server a' : could not resolve address 'web1.example.org'.\n[ALERT] (2) : config : Failed to initialize server(s) addr.\n",
    "(/etc/keepalived/keepalived.conf: Line 1) WARNING - interface ens9 for vrrp_instance V doesn't exist\nNon-existent interface specified in configuration\n",
    'postsuper: fatal: setgid(110): Operation not permitted\n',
    "mkdir: cannot create directory '/var/spool/postfix/corrupt': Read-only file system\n",
    "server.upload-dirs doesn't exist: /var/cache/lighttpd/uploads\nsetgid(): Operation not permitted\n",
    'Traceback:\n  File "/usr/lib/python3/dist-packages/fail2ban/x.py", line 12, in <module>\nPermissionError: Permission denied\n',
  ])('is none where only the running service could tell: %j', (said) => {
    expect(configurationFault(said)).toBeNull();
  });

  it('is none of a file in a folder of which the check sees nothing', () => {
    const said = (path: string) => `[emerg] cannot load certificate "${path}": No such file\n`;
    const emptied = ['/run', '/srv'];
    expect(configurationFault(said('/srv/x.pem'), emptied)).toBeNull();
    expect(configurationFault(said('/srv/x.pem'))).toMatchObject({ place: null });
    expect(configurationFault(said('/var/run/x.pem'), emptied)).toBeNull();
    expect(configurationFault(said('/etc/srv/x.pem'), emptied)).toMatchObject({ place: null });
  });
});
