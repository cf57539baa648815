import type { Logger } from 'pino';
import type { Queries } from '../database/database.ts';
import { forgetUnusable } from './credential-store.ts';

const LOOK_EVERY_MS = 10 * 60_000;

/** Lets go of secrets that clients gave once their grant is over, also after a restart. */
export class CredentialSweep {
  private readonly queries: Queries;
  private readonly log: Logger;
  private timer: NodeJS.Timeout | undefined;

  constructor({ queries, log }: { queries: Queries; log: Logger }) {
    this.queries = queries;
    this.log = log;
  }

  start(): void {
    this.timer ??= setInterval(() => this.look(), LOOK_EVERY_MS);
    this.look();
  }

  stop(): void {
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private look(): void {
    forgetUnusable(this.queries).catch((error: unknown) =>
      this.log.warn({ err: error }, 'could not look for secrets that are of no use any more'),
    );
  }
}
