/** What sshd_config(5) of OpenSSH 7.4 to 9.9 knows, as it is written there. */
export const KEYWORDS = [
  'AcceptEnv AddressFamily AllowAgentForwarding AllowGroups AllowStreamLocalForwarding',
  'AllowTcpForwarding AllowUsers AuthenticationMethods AuthorizedKeysCommand AuthorizedKeysCommandUser',
  'AuthorizedKeysFile AuthorizedPrincipalsCommand AuthorizedPrincipalsCommandUser',
  'AuthorizedPrincipalsFile Banner CASignatureAlgorithms ChallengeResponseAuthentication',
  'ChannelTimeout ChrootDirectory Ciphers ClientAliveCountMax ClientAliveInterval Compression',
  'DenyGroups DenyUsers DisableForwarding ExposeAuthInfo FingerprintHash ForceCommand GatewayPorts',
  'GSSAPIAuthentication GSSAPICleanupCredentials GSSAPIKeyExchange GSSAPIStoreCredentialsOnRekey',
  'GSSAPIStrictAcceptorCheck HostbasedAcceptedAlgorithms HostbasedAcceptedKeyTypes',
  'HostbasedAuthentication HostbasedUsesNameFromPacketOnly HostCertificate HostKey HostKeyAgent',
  'HostKeyAlgorithms IgnoreRhosts IgnoreUserKnownHosts Include IPQoS KbdInteractiveAuthentication',
  'KerberosAuthentication KerberosGetAFSToken KerberosOrLocalPasswd KerberosTicketCleanup',
  'KexAlgorithms ListenAddress LoginGraceTime LogLevel LogVerbose MACs Match MaxAuthTries',
  'MaxSessions MaxStartups ModuliFile PasswordAuthentication PermitEmptyPasswords PermitListen',
  'PermitOpen PermitRootLogin PermitTTY PermitTunnel PermitUserEnvironment PermitUserRC',
  'PerSourceMaxStartups PerSourceNetBlockSize PerSourcePenalties PidFile Port PrintLastLog PrintMotd',
  'PubkeyAcceptedAlgorithms PubkeyAcceptedKeyTypes PubkeyAuthentication PubkeyAuthOptions',
  'RekeyLimit RequiredRSASize RevokedKeys SetEnv StreamLocalBindMask StreamLocalBindUnlink',
  'StrictModes Subsystem SyslogFacility TCPKeepAlive TrustedUserCAKeys UnusedConnectionTimeout',
  'UseDNS UsePAM VersionAddendum X11DisplayOffset X11Forwarding X11UseLocalhost XAuthLocation',
]
  .join(' ')
  .split(' ');

/**
 * The strictest value of what lets in more by default (sshd_config(5)). PubkeyAuthentication is none of them:
 * keys are how SSH is restored.
 */
const STRICTEST: ReadonlyMap<string, string> = new Map([
  ['allowagentforwarding', 'no'],
  ['allowstreamlocalforwarding', 'no'],
  ['allowtcpforwarding', 'no'],
  ['challengeresponseauthentication', 'no'],
  ['disableforwarding', 'yes'],
  ['kbdinteractiveauthentication', 'no'],
  ['passwordauthentication', 'no'],
  ['permitlisten', 'none'],
  ['permitopen', 'none'],
  ['permitrootlogin', 'no'],
  ['permituserrc', 'no'],
]);

/** By which sshd takes passwords. */
const FOR_PASSWORDS = new Set([
  'challengeresponseauthentication',
  'kbdinteractiveauthentication',
  'passwordauthentication',
]);

const FARTHEST = 2;

/**
 * What a wrong value becomes, so that nobody gets more than with a right one; null where sshd's default is as
 * strict.
 *
 * @param passwords whether sshd may take passwords, as it does by default
 */
export function strictValueOf(keyword: string, passwords: boolean): string | null {
  const name = keyword.toLowerCase();
  return passwords && FOR_PASSWORDS.has(name) ? null : (STRICTEST.get(name) ?? null);
}

/** The one keyword that a mistyped word is nearest to; null where none is near, or several are. */
export function meantKeyword(word: string): string | null {
  const near = KEYWORDS.map((keyword) => ({
    keyword,
    distance: distanceOf(word.toLowerCase(), keyword.toLowerCase()),
  }));
  const least = Math.min(...near.map(({ distance }) => distance));
  const best = near.filter(({ distance }) => distance === least);
  return least <= FARTHEST && best.length === 1 && word.length > 2 * FARTHEST
    ? best[0]!.keyword
    : null;
}

/** Letters to insert, leave out or replace (Levenshtein). */
function distanceOf(one: string, other: string): number {
  let row = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (const [at, letter] of one.split('').entries()) {
    const next = [at + 1];
    for (const [place, there] of other.split('').entries()) {
      next.push(
        Math.min(row[place]! + (letter === there ? 0 : 1), row[place + 1]! + 1, next[place]! + 1),
      );
    }
    row = next;
  }
  return row.at(-1)!;
}
