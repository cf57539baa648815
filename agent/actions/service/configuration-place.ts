/** Where a service's own check says that its configuration is wrong. */
export interface ConfigurationPlace {
  file: string;
  line: number;
  /** What it says of that line. */
  said: string;
}

/** Configuration lies there; a place elsewhere is one in a program. */
const FILE = String.raw`(?<file>\/etc\/[^\s:'"()[\],]+)`;
const FORMS = [
  // nginx, BIND, Unbound, HAProxy, PHP-FPM
  new RegExp(`${FILE}:(?<line>\\d+)`),
  // Apache, dnsmasq, Exim, ProFTPD
  new RegExp(`\\bline (?<line>\\d+) of (?:file |configuration file )?['"]?${FILE}`, 'i'),
  // Postfix, Dovecot, dhcpd, lighttpd, keepalived, rsyslog
  new RegExp(`${FILE}['"]?[:,]?(?: on or before)? line:? (?<line>\\d+)`, 'i'),
];
/**
 * What a check that has no network, no powers and may write nowhere complains of, though the service itself
 * would not.
 */
const UNSEEN =
  /permission denied|not permitted|read-only file system|host not found|name resolution|resolve host|cannot assign requested|no such device/i;
/** The reason may stand in the line below the place, as Apache has it. */
const SAID_LINES = 2;

/** Null where it names no line, or complains of what only the running service can have. */
export function configurationPlace(said: string): ConfigurationPlace | null {
  const lines = said.split('\n');
  for (const [at, text] of lines.entries()) {
    const found = FORMS.map((form) => form.exec(text)?.groups).find(Boolean);
    if (found === undefined) continue;
    const about = lines
      .slice(at, at + SAID_LINES)
      .join(' ')
      .trim();
    if (UNSEEN.test(about)) continue;
    return { file: found['file']!, line: Number(found['line']), said: about };
  }
  return null;
}
