import { readFileSync } from 'node:fs';
import path from 'node:path';
import { parse } from 'smol-toml';
import { z } from 'zod';

export const DEFAULT_CONFIG_FILE = '/etc/intervene/agent.toml';
export const DEFAULT_POLICY_FILE = '/etc/intervene/policy.toml';
export const DEFAULT_STATE_DIRECTORY = '/var/lib/intervene';
const MEBIBYTE = 1024 * 1024;

/** `host:port`; an IPv6 address stands in brackets. */
export const serverAddress = z
  .string()
  .max(300)
  .regex(
    /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$/,
    'not host:port',
  )
  .refine((text) => {
    const port = Number(text.slice(text.lastIndexOf(':') + 1));
    return port >= 1 && port <= 65_535;
  }, 'no such port');

const absolutePath = z.string().startsWith('/').max(4096);

const fileSchema = z.strictObject({
  /** Where the control plane is reached; tried in turn. */
  'control-plane': z.array(serverAddress).min(1).max(16),
  /** Identity, trust, jobs; 0700. */
  'state-directory': absolutePath.default(DEFAULT_STATE_DIRECTORY),
  /** What the log of one job may take on disk. */
  'spool-cap-bytes': z
    .int()
    .min(MEBIBYTE)
    .max(64 * 1024 * MEBIBYTE)
    .default(256 * MEBIBYTE),
  /** When the rescue image was built: the time is never believed to be before that. */
  'image-built': z.date().optional(),
  'log-level': z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export interface AgentConfig {
  addresses: readonly string[];
  stateDirectory: string;
  configFile: string;
  policyFile: string;
  spoolCapBytes: number;
  /** Milliseconds since 1970. */
  imageBuiltMs: number | null;
  logLevel: 'debug' | 'info' | 'warn' | 'error';
}

/** What the command line says. */
export interface AgentOptions {
  config?: string;
  state?: string;
  policy?: string;
}

/** Thrown when a configuration file cannot be used; says which field is wrong. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Reads and checks the configuration. Flags win over the file. Throws ConfigError. */
export function loadConfig(options: AgentOptions): AgentConfig {
  const configFile = path.resolve(options.config ?? DEFAULT_CONFIG_FILE);
  const file = parseConfig(configFile, readText(configFile));
  return {
    addresses: file['control-plane'],
    stateDirectory: path.resolve(options.state ?? file['state-directory']),
    configFile,
    policyFile: path.resolve(options.policy ?? DEFAULT_POLICY_FILE),
    spoolCapBytes: file['spool-cap-bytes'],
    imageBuiltMs: file['image-built']?.getTime() ?? null,
    logLevel: file['log-level'],
  };
}

/**
 * Where things lie, for commands that must work without a valid configuration (`lock` above all).
 */
export function locate(options: AgentOptions): Pick<AgentConfig, 'stateDirectory' | 'policyFile'> {
  let fromFile: string | undefined;
  if (options.state === undefined) {
    try {
      fromFile = loadConfig(options).stateDirectory;
    } catch {
      fromFile = undefined;
    }
  }
  return {
    stateDirectory: path.resolve(options.state ?? fromFile ?? DEFAULT_STATE_DIRECTORY),
    policyFile: path.resolve(options.policy ?? DEFAULT_POLICY_FILE),
  };
}

/** The content of a configuration file that names these addresses and is complete otherwise. */
export function formatConfig(addresses: readonly string[], stateDirectory: string): string {
  const list = addresses.map((address) => JSON.stringify(address)).join(', ');
  return `control-plane = [${list}]\nstate-directory = ${JSON.stringify(stateDirectory)}\n`;
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    const message = `${file}: there is no such file; a server that is not enrolled has none`;
    throw new ConfigError(message, { cause: error });
  }
}

function parseConfig(file: string, text: string): z.output<typeof fileSchema> {
  let content: unknown;
  try {
    content = parse(text);
  } catch (error) {
    throw new ConfigError(`${file}: ${(error as Error).message}`, { cause: error });
  }
  const checked = fileSchema.safeParse(content);
  if (checked.success) return checked.data;
  const issue = checked.error.issues[0]!;
  const where = issue.path.join('.') || 'file';
  throw new ConfigError(`${file}: ${where}: ${issue.message}`);
}
