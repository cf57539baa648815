import { nearestWord } from '../../../target/nearest-word.ts';

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
  return nearestWord(word, KEYWORDS);
}
