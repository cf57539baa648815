import { execFile } from 'node:child_process';
import type { Logger } from 'pino';

/** Tells the service manager how the agent is doing; does nothing where none listens. */
export interface ServiceManager {
  ready(status: string): void;
  status(status: string): void;
  stopping(): void;
  close(): void;
}

export interface ServiceManagerOptions {
  /** NOTIFY_SOCKET and WATCHDOG_USEC of the environment (sd_notify(3), sd_watchdog_enabled(3)). */
  notifySocket: string | undefined;
  watchdogUsec: string | undefined;
  log: Logger;
  /** The program that speaks to the manager: Node has no datagram Unix sockets. */
  program?: string;
}

export function createServiceManager(options: ServiceManagerOptions): ServiceManager {
  const { notifySocket, log } = options;
  if (!notifySocket) {
    return { ready: () => {}, status: () => {}, stopping: () => {}, close: () => {} };
  }
  const program = options.program ?? 'systemd-notify';
  const env = { NOTIFY_SOCKET: notifySocket, PATH: '/usr/bin:/bin:/usr/sbin:/sbin' };
  const run = (words: string[]) =>
    new Promise<void>((resolve) => {
      execFile(program, words, { env, timeout: 5_000 }, (error) => {
        if (error) log.warn({ err: error }, 'the service manager was not told');
        resolve();
      });
    });
  // One after the other: what was said last must be what is heard last.
  let said = Promise.resolve();
  const notify = (...words: string[]) => {
    said = said.then(() => run(words));
  };
  const watchdogMs = Number(options.watchdogUsec ?? 0) / 1000;
  // Sent from the event loop that does the work: when it hangs, the manager learns of it.
  const timer =
    watchdogMs > 0 ? setInterval(() => notify('WATCHDOG=1'), watchdogMs / 3).unref() : null;
  return {
    ready: (status) => notify('READY=1', `STATUS=${status}`),
    status: (status) => notify(`STATUS=${status}`),
    stopping: () => notify('STOPPING=1'),
    close: () => timer !== null && clearInterval(timer),
  };
}
