import type { SpoolFile } from './spool-file.ts';

const SYNC_BYTES = 64 * 1024;
const SYNC_MS = 50;

/**
 * Keeps the end of a growing file on disk: a sync after each 64 KiB or 50 ms, one at a time. After a
 * failed sync the file counts as broken for ever: the kernel may have dropped the pages it could not
 * write, and would report the next sync as a success.
 */
export class DurableTail {
  private readonly file: SpoolFile;
  private unsyncedBytes = 0;
  private timer: NodeJS.Timeout | null = null;
  private syncing: Promise<void> | null = null;
  private hasFailed = false;

  constructor(file: SpoolFile) {
    this.file = file;
  }

  get isBroken(): boolean {
    return this.hasFailed;
  }

  grew(bytes: number): void {
    this.unsyncedBytes += bytes;
    this.schedule();
  }

  /** Syncs what is left. */
  async finish(): Promise<void> {
    while (this.syncing !== null) await this.syncing;
    this.stopTimer();
    if (this.unsyncedBytes === 0 || this.hasFailed) return;
    this.unsyncedBytes = 0;
    try {
      this.file.datasyncNow();
    } catch {
      this.hasFailed = true;
    }
  }

  private schedule(): void {
    if (this.unsyncedBytes === 0 || this.syncing !== null) return;
    if (this.unsyncedBytes >= SYNC_BYTES) this.begin();
    else this.timer ??= setTimeout(() => this.begin(), SYNC_MS);
  }

  private begin(): void {
    this.stopTimer();
    if (this.syncing !== null || this.unsyncedBytes === 0) return;
    this.syncing = this.sync().finally(() => {
      this.syncing = null;
      this.schedule();
    });
  }

  private async sync(): Promise<void> {
    this.unsyncedBytes = 0;
    if (this.hasFailed) return;
    try {
      await this.file.datasync();
    } catch {
      this.hasFailed = true;
    }
  }

  private stopTimer(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
