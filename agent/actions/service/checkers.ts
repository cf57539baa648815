/** How a service says whether its configuration is right. */
export interface Checker {
  /** Names of units, by their beginning up to `@` or `.service`. */
  units: RegExp;
  argv: readonly string[];
  /** Option by which both the service and its checker are given another configuration file. */
  fileOption?: string;
  /** What it says when it could not judge, though it found no fault. */
  notJudged?: RegExp;
  /** Its output is the configuration itself, which may hold secrets: only errors are shown. */
  printsConfiguration?: true;
}

/**
 * The checkers of common services, each documented to exit with anything but 0 for a configuration that the
 * service would not start with. Only what is known for sure: a service without one is restarted unchecked,
 * and its plan says so.
 */
export const checkers: readonly Checker[] = [
  {
    units: /^sshd?$/,
    argv: ['sshd', '-t'],
    fileOption: '-f',
    // Looked for after the configuration and the host keys; the unit makes it when it starts.
    notJudged: /Missing privilege separation directory/,
  },
  { units: /^nginx$/, argv: ['nginx', '-t', '-q'], fileOption: '-c' },
  { units: /^apache2$/, argv: ['apache2ctl', 'configtest'] },
  { units: /^httpd$/, argv: ['httpd', '-t'], fileOption: '-f' },
  { units: /^(?:named|bind9)$/, argv: ['named-checkconf'] },
  {
    units: /^unbound$/,
    argv: ['unbound-checkconf'],
    // Looked for after all else; the unit makes it when it starts.
    notJudged: /auto-trust-anchor-file: .* does not exist/,
  },
  { units: /^dnsmasq$/, argv: ['dnsmasq', '--test'] },
  { units: /^postfix$/, argv: ['postfix', 'check'] },
  { units: /^exim4?$/, argv: ['exim', '-bV'] },
  { units: /^dovecot$/, argv: ['doveconf', '-n'], printsConfiguration: true },
  // Without -q, which leaves out its reasons, too.
  { units: /^haproxy$/, argv: ['haproxy', '-c', '-f', '/etc/haproxy/haproxy.cfg'] },
  { units: /^squid$/, argv: ['squid', '-k', 'parse'] },
  { units: /^lighttpd$/, argv: ['lighttpd', '-tt', '-f', '/etc/lighttpd/lighttpd.conf'] },
  { units: /^proftpd$/, argv: ['proftpd', '-t', '-q'] },
  { units: /^rsyslog$/, argv: ['rsyslogd', '-N1'] },
  { units: /^nftables$/, argv: ['nft', '-c', '-f', '/etc/nftables.conf'] },
  { units: /^fail2ban$/, argv: ['fail2ban-client', '-t'] },
  { units: /^keepalived$/, argv: ['keepalived', '-t'] },
  { units: /^isc-dhcp-server$/, argv: ['dhcpd', '-t', '-cf', '/etc/dhcp/dhcpd.conf'] },
  { units: /^(?:smbd|smb|samba)$/, argv: ['testparm', '-s'], printsConfiguration: true },
];

/** `php8.2-fpm.service` is checked by `php-fpm8.2`, and elsewhere `php-fpm.service` by `php-fpm`. */
function phpChecker(name: string): Checker | undefined {
  const [, version] = /^php(\d[\d.]*)?-fpm$/.exec(name) ?? [];
  if (version === undefined && name !== 'php-fpm') return undefined;
  return { units: /^$/, argv: [`php-fpm${version ?? ''}`, '-t'] };
}

/** The argv that checks a service, as it is set up here; undefined where none is known. */
export function checkerOf(
  unit: string,
  programWords: string,
): { argv: string[]; checker: Checker } | undefined {
  if (!unit.endsWith('.service')) return undefined;
  const name = unit.slice(0, -'.service'.length).replace(/@.*$/, '');
  const checker = checkers.find(({ units }) => units.test(name)) ?? phpChecker(name);
  if (checker === undefined) return undefined;
  const argv = [...checker.argv];
  const option = checker.fileOption;
  const file = option === undefined ? undefined : optionValue(programWords, option);
  if (option !== undefined && file !== undefined) argv.push(option, file);
  return { argv, checker };
}

/** The word after an option among the words of a command, if it is a plain path. */
function optionValue(words: string, option: string): string | undefined {
  const all = words.split(' ');
  const value = all[all.indexOf(option) + 1];
  return all.includes(option) && value !== undefined && /^\/[^$%'"\\]*$/.test(value)
    ? value
    : undefined;
}
