import { isIP } from 'node:net';
import path from 'node:path';

/** How the control plane is to run; every part gets what it needs of this. */
export interface ControlPlaneConfig {
  dataDirectory: string;
  /** The operator's PostgreSQL; null runs our own in the data folder. */
  databaseUrl: string | null;
  http: {
    host: string;
    port: number;
    /** Files in PEM. Null: plain HTTP, which only a loopback address may have. */
    tls: { certFile: string; keyFile: string } | null;
    /** Where people reach it, without a slash at the end; null is what it listens on. */
    publicUrl: string | null;
  };
  agents: {
    host: string;
    port: number;
    /** `host:port` that agents dial; null is derived from what it listens on. */
    address: string | null;
  };
  /** Null: the standard output, or a file in the data folder when that is a terminal. */
  logFile: string | null;
  logLevel: 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'fatal' | 'silent';
  /** How long a stop waits for requests and uploads to end by themselves. */
  stopGraceMs: number;
}

/** What a person may say, as flags of `intervene up`; each also as `INTERVENE_…` in the environment. */
export interface UpOptions {
  /** Default: `./intervene-data`. */
  data?: string | undefined;
  /** Default: `127.0.0.1:7400`. */
  listen?: string | undefined;
  /** Default: `0.0.0.0:7401`. */
  agentListen?: string | undefined;
  agentAddress?: string | undefined;
  publicUrl?: string | undefined;
  databaseUrl?: string | undefined;
  tlsCert?: string | undefined;
  tlsKey?: string | undefined;
  logFile?: string | undefined;
  /** Default: `info`. */
  logLevel?: string | undefined;
  /** Seconds. Default: 10. */
  stopGrace?: string | undefined;
}

/** Thrown for settings that cannot be used; the message names the setting. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

const ENVIRONMENT: Readonly<Record<keyof UpOptions, string>> = {
  data: 'INTERVENE_DATA',
  listen: 'INTERVENE_LISTEN',
  agentListen: 'INTERVENE_AGENT_LISTEN',
  agentAddress: 'INTERVENE_AGENT_ADDRESS',
  publicUrl: 'INTERVENE_PUBLIC_URL',
  databaseUrl: 'INTERVENE_DATABASE_URL',
  tlsCert: 'INTERVENE_TLS_CERT',
  tlsKey: 'INTERVENE_TLS_KEY',
  logFile: 'INTERVENE_LOG_FILE',
  logLevel: 'INTERVENE_LOG_LEVEL',
  stopGrace: 'INTERVENE_STOP_GRACE',
};

const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;

/**
 * Checks and completes the settings: a flag comes before the environment, which comes before the default.
 *
 * @param directory what relative paths are relative to
 */
export function readConfig(
  flags: UpOptions,
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
): ControlPlaneConfig {
  const setting = (name: keyof UpOptions): string | undefined => {
    const value = flags[name] ?? environment[ENVIRONMENT[name]];
    return value === '' ? undefined : value;
  };
  const file = (name: keyof UpOptions): string | undefined => {
    const value = setting(name);
    return value === undefined ? undefined : path.resolve(directory, value);
  };

  const listen = readAddress('--listen', setting('listen') ?? '127.0.0.1:7400');
  const tls = readTls(file('tlsCert'), file('tlsKey'));
  if (tls === null && !isLoopback(listen.host)) {
    throw new ConfigError(
      `--listen ${listen.host}: tokens would cross the network in the clear; give --tls-cert and ` +
        '--tls-key, or listen on 127.0.0.1 behind a proxy that speaks TLS',
    );
  }
  const agentAddress = setting('agentAddress');
  if (agentAddress !== undefined) readAddress('--agent-address', agentAddress);

  return {
    dataDirectory: path.resolve(directory, setting('data') ?? 'intervene-data'),
    databaseUrl: readDatabaseUrl(flags.databaseUrl, setting('databaseUrl')),
    http: { ...listen, tls, publicUrl: readPublicUrl(setting('publicUrl')) },
    agents: {
      ...readAddress('--agent-listen', setting('agentListen') ?? '0.0.0.0:7401'),
      address: agentAddress ?? null,
    },
    logFile: file('logFile') ?? null,
    logLevel: readLogLevel(setting('logLevel') ?? 'info'),
    stopGraceMs: readSeconds('--stop-grace', setting('stopGrace') ?? '10') * 1000,
  };
}

/** Which control plane is meant, for what works on its data: the settings `up` would use. */
export function readSource(
  flags: Pick<UpOptions, 'data' | 'databaseUrl'>,
  environment: Readonly<Record<string, string | undefined>>,
  directory: string,
): { data: string; databaseUrl: string | null } {
  const { dataDirectory, databaseUrl } = readConfig(flags, pickSource(environment), directory);
  return { data: dataDirectory, databaseUrl };
}

function pickSource(environment: Readonly<Record<string, string | undefined>>) {
  const names = [ENVIRONMENT.data, ENVIRONMENT.databaseUrl];
  return Object.fromEntries(names.map((name) => [name, environment[name]]));
}

/** `host:port`, with IPv6 addresses in brackets. Port 0 takes any free one. */
function readAddress(name: string, text: string): { host: string; port: number } {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2];
  const port = Number(match?.[3]);
  if (host === undefined || port > 65_535 || (match?.[1] !== undefined && isIP(host) !== 6)) {
    throw new ConfigError(`${name} ${text}: HOST:PORT is expected`);
  }
  return { host, port };
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

function readTls(
  certFile: string | undefined,
  keyFile: string | undefined,
): { certFile: string; keyFile: string } | null {
  if (certFile === undefined && keyFile === undefined) return null;
  if (certFile === undefined || keyFile === undefined) {
    throw new ConfigError('--tls-cert and --tls-key belong together');
  }
  return { certFile, keyFile };
}

/** Arguments are visible to every user of the machine, so no password may stand there. */
function readDatabaseUrl(flag: string | undefined, text: string | undefined): string | null {
  if (text === undefined) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['postgres:', 'postgresql:'].includes(url.protocol)) {
    throw new ConfigError('--database-url: postgres://USER@HOST:PORT/DATABASE is expected');
  }
  if (flag !== undefined && url.password !== '') {
    throw new ConfigError(
      '--database-url: everybody on this machine can read arguments; give the URL with its password as ' +
        'INTERVENE_DATABASE_URL, or keep the password in ~/.pgpass',
    );
  }
  return text;
}

function readPublicUrl(text: string | undefined): string | null {
  if (text === undefined) return null;
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol) || url.search || url.hash) {
    throw new ConfigError(`--public-url ${text}: an http or https address is expected`);
  }
  return url.href.replace(/\/+$/, '');
}

function readLogLevel(text: string): ControlPlaneConfig['logLevel'] {
  const level = LOG_LEVELS.find((known) => known === text);
  if (level === undefined) {
    throw new ConfigError(`--log-level ${text}: one of ${LOG_LEVELS.join(', ')} is expected`);
  }
  return level;
}

function readSeconds(name: string, text: string): number {
  const seconds = Number(text);
  if (!/^\d+(?:\.\d+)?$/.test(text) || seconds > 3600) {
    throw new ConfigError(`${name} ${text}: seconds, at most 3600, are expected`);
  }
  return seconds;
}
