/** What a service's own check has against its configuration. */
export interface ConfigurationFault {
  /** Null where it names no line. */
  place: ConfigurationPlace | null;
  /** Its words: of that place, else all of them. */
  said: string;
}

export interface ConfigurationPlace {
  file: string;
  line: number;
}

/** Configuration lies there; a place elsewhere is one in a program. */
const FILE = String.raw`(?<file>\/etc\/[^\s:'"()[\],]{1,1024})`;
const FORMS = [
  // nginx, BIND, Unbound, HAProxy, PHP-FPM
  new RegExp(`${FILE}:(?<line>\\d+)`),
  // Apache, dnsmasq, Exim, ProFTPD; Apache names the files that include the one that is meant before it
  new RegExp(`.*\\bline (?<line>\\d+) of (?:file |configuration file )?['"]?${FILE}`, 'i'),
  // Postfix, Dovecot, dhcpd, lighttpd, keepalived, rsyslog, sshd
  new RegExp(`${FILE}['"]?[:,]?(?: on or before)? line:? (?<line>\\d+)`, 'i'),
];
/** nginx ends with one such line and says others before it: only this one keeps it from starting. */
const STOPS = /\[emerg\]/;
/** What a service names and starts all the same. */
const GOES_ON =
  /\[(?:\w+:)?(?:warn|warning|notice|info|debug)\]|\b(?:warn|warning|notice|info):|\bWARNING\b|\b(?:deprecated|obsolete|unsupported option)\b/i;
/**
 * What a check complains of that has no network, no powers, or may write nowhere, though the service itself
 * would not.
 */
const UNSEEN = [
  /permission denied|not permitted|read-only file system|no such device|cannot assign requested/i,
  /host not found|name resolution|resolve host|resolve address|determine IP address/i,
  /no local interface|active network interfaces|non-existent interface/i,
];
const GONE = /no such file|does(?:n't| not) exist|not found/i;
/** Empty for every check but that of the running system itself. */
const EMPTY_FOLDERS = ['/run', '/tmp'];
/** Of anything but the configuration itself. */
const PATH = /(?<=^|[\s'"(=])\/(?!etc\/)[\w.+/-]+/g;

/**
 * What is wrong, by the words of a check that has failed. Null where it lacks no more than what the running
 * service has: whether the configuration is right can then not be said.
 *
 * @param emptied folders in which the check sees nothing of the system's
 */
export function configurationFault(
  said: string,
  emptied: readonly string[] = EMPTY_FOLDERS,
): ConfigurationFault | null {
  const complaints = complaintsOf(said);
  const isUnseen = (text: string) =>
    UNSEEN.some((form) => form.test(text)) ||
    (GONE.test(text) && pathsIn(text).some((path) => liesIn(path, emptied)));
  const unseen = complaints.filter(isUnseen);
  // What cannot be opened is complained of more than once, and not always with the reason.
  const paths = unseen.flatMap(pathsIn);
  for (const text of complaints) {
    const isReal = !isUnseen(text) && !pathsIn(text).some((path) => paths.includes(path));
    const place = isReal && !GOES_ON.test(text) ? placeIn(text) : null;
    if (place !== null) return { place, said: text };
  }
  return unseen.length > 0 ? null : { place: null, said: said.trim() };
}

function complaintsOf(said: string): string[] {
  const complaints: string[] = [];
  for (const line of said.split('\n').map((text) => text.trim())) {
    const last = complaints.at(-1);
    // Apache has the reason in the line below the place.
    if (last?.endsWith(':') === true) complaints.splice(-1, 1, `${last} ${line}`);
    else if (line !== '') complaints.push(line);
  }
  const stops = complaints.filter((text) => STOPS.test(text));
  return stops.length > 0 ? stops : complaints;
}

const pathsIn = (text: string): readonly string[] => text.match(PATH) ?? [];

function liesIn(path: string, folders: readonly string[]): boolean {
  const real = path.replace(/^\/var\/run\//, '/run/');
  return folders.some((folder) => real.startsWith(`${folder}/`));
}

function placeIn(text: string): ConfigurationPlace | null {
  const found = FORMS.map((form) => form.exec(text)?.groups).find(Boolean);
  return found === undefined ? null : { file: found['file']!, line: Number(found['line']) };
}
