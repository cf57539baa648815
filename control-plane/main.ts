import path from 'node:path';
import type { Writable } from 'node:stream';
import { pino } from 'pino';
import type { Logger } from 'pino';
import { shell } from '../proto/documents/command-text.ts';
import { readConfig } from './config.ts';
import type { ControlPlaneConfig, UpOptions } from './config.ts';
import { createControlPlane } from './server.ts';
import type { ControlPlaneAddresses } from './server.ts';

/** How `up` speaks: lines for a person on `talk`; with `json` one line of data on `out` when it runs. */
export interface UpOutput {
  talk: Writable & { isTTY?: boolean };
  out: Writable & { isTTY?: boolean };
  json: boolean;
}

const DEFAULT_OUTPUT: UpOutput = { talk: process.stderr, out: process.stdout, json: false };

/**
 * Runs a control plane until SIGINT, SIGTERM or SIGHUP, then stops it; the second signal ends the process at once.
 * Throws ConfigError for settings that cannot be used, and whatever keeps it from starting.
 */
export async function up(flags: UpOptions, output: UpOutput = DEFAULT_OUTPUT): Promise<void> {
  const config = readConfig(flags, process.env, process.cwd());
  // The URL of the operator's database may hold a password, and children inherit the environment.
  delete process.env['INTERVENE_DATABASE_URL'];
  const { log, logFile } = createLog(config, output);
  const progress = createProgress(output);
  const controlPlane = createControlPlane(config, {
    log,
    onDatabase: ({ embedded, ms }) =>
      progress.step('database', embedded ? `embedded PostgreSQL in ${shown(config)}` : 'yours', ms),
  });

  const asked = listenForSignals(() => progress.line('Stopping at once. Jobs on servers go on.'));
  try {
    const started = performance.now();
    const addresses = await Promise.race([controlPlane.start(), asked.then(() => null)]);
    if (addresses !== null) {
      progress.step('control plane', '', performance.now() - started);
      tell(addresses, { output, progress, logFile });
      const signal = await asked;
      // Where the terminal is gone, a word to it would be an error that ends the process half-stopped.
      if (signal !== 'SIGHUP') {
        progress.line(`Stopping (${signal}). Jobs on servers go on; once more stops at once.`);
      }
    }
  } finally {
    await controlPlane.stop();
  }
}

function tell(
  addresses: ControlPlaneAddresses,
  the: { output: UpOutput; progress: Progress; logFile: string | null },
): void {
  const { progress, output } = the;
  const { url, newAdminTokenFile } = addresses;
  if (output.json) output.out.write(`${JSON.stringify(addresses)}\n`);
  progress.fact('API', url);
  progress.fact('Agent address', addresses.agentAddress);
  progress.fact('CA pin', addresses.caPin);
  if (the.logFile !== null) progress.fact('Log', the.logFile);
  if (newAdminTokenFile === null) {
    progress.line('Next: intervene --help   (Ctrl-C stops)');
    return;
  }
  progress.fact('Admin token', newAdminTokenFile);
  const relative = path.relative(process.cwd(), newAdminTokenFile);
  const file = relative.length < newAdminTokenFile.length ? relative : newAdminTokenFile;
  progress.line(
    `Next: ${shell`intervene init ${url} --engineer NAME --admin-token-file ${file}`}` +
      "   (operator root and first engineer, on the lead's own machine)",
  );
}

/** The signal that asks for a stop; a second one ends the process. */
function listenForSignals(onSecond: () => void): Promise<string> {
  return new Promise((resolve) => {
    let isAsked = false;
    const ask = (signal: NodeJS.Signals) => {
      if (isAsked) {
        onSecond();
        // The database goes on without us; the next start takes it over.
        process.exit(130);
      }
      isAsked = true;
      resolve(signal);
    };
    process.on('SIGINT', ask);
    process.on('SIGTERM', ask);
    // A closing terminal may send it twice, from the kernel and from the shell: never a wish to hurry.
    process.on('SIGHUP', resolve);
  });
}

/** On a terminal the log would drown what is said to the person, so it goes to a file then. */
function createLog(
  config: ControlPlaneConfig,
  output: UpOutput,
): { log: Logger; logFile: string | null } {
  const isForEyes = output.out.isTTY === true || output.json;
  const logFile =
    config.logFile ?? (isForEyes ? path.join(config.dataDirectory, 'control-plane.log') : null);
  const destination =
    logFile === null
      ? pino.destination({ dest: 1, sync: true })
      : pino.destination({ dest: logFile, mkdir: true, append: true, sync: true, mode: 0o600 });
  const options = {
    level: config.logLevel,
    base: null,
    timestamp: pino.stdTimeFunctions.isoTime,
    // Nothing logs these; should somebody begin to, they stay out.
    redact: { paths: ['*.token', '*.authorization', '*.password'], censor: '•••' },
  };
  return { log: pino(options, destination), logFile };
}

interface Progress {
  step(name: string, detail: string, ms: number): void;
  fact(name: string, value: string): void;
  line(text: string): void;
}

/** Signs for the eye on a terminal, plain lines elsewhere. */
function createProgress({ talk }: UpOutput): Progress {
  const line = (text: string) => void talk.write(`${text}\n`);
  const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`;
  return {
    line,
    step: (name, detail, ms) => {
      const words = `${name.padEnd(15)} ${detail.padEnd(44)} ${seconds(ms)}`;
      line(talk.isTTY === true ? `✓ ${words}` : words.replace(/ {2,}/g, '  '));
    },
    fact: (name, value) =>
      line(talk.isTTY === true ? `  ${name.padEnd(15)} ${value}` : `${name}: ${value}`),
  };
}

function shown({ dataDirectory }: ControlPlaneConfig): string {
  const relative = path.relative(process.cwd(), dataDirectory);
  return relative.startsWith('..') ? dataDirectory : `./${relative}`;
}
