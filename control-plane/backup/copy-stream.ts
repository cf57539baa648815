import { once } from 'node:events';
import type { Socket } from 'node:net';
import type pg from 'pg';

/** What pg hands to a query of our own; see its Client. Typed here, since its types leave copying out. */
interface CopyConnection {
  readonly stream: Socket;
  query(text: string): void;
  sendCopyFromChunk(chunk: Uint8Array): void;
  endCopyFrom(): void;
  sendCopyFail(message: string): void;
}

/** More than this waits in memory for the reader; then the server is not read from. */
const QUEUE_BYTES = 1024 * 1024;

/** A `copy … to stdout`, read as fast as its consumer takes it. */
export async function* copyOut(client: pg.Client, sql: string): AsyncGenerator<Buffer> {
  const query = new CopyOutQuery(sql);
  client.query(query as unknown as pg.Submittable);
  yield* query.chunks();
}

class CopyOutQuery {
  callback: () => void = () => {};
  private readonly sql: string;
  private connection: CopyConnection | undefined;
  private waiting: Buffer[] = [];
  private waitingBytes = 0;
  private isOver = false;
  private failure: Error | undefined;
  private wake: () => void = () => {};

  constructor(sql: string) {
    this.sql = sql;
  }

  async *chunks(): AsyncGenerator<Buffer> {
    try {
      for (;;) {
        const ready = this.waiting;
        this.waiting = [];
        this.waitingBytes = 0;
        if (ready.length > 0) yield Buffer.concat(ready);
        this.connection?.stream.resume();
        if (this.waiting.length > 0) continue;
        if (this.failure !== undefined) throw this.failure;
        if (this.isOver) return;
        await new Promise<void>((resolve) => (this.wake = resolve));
      }
    } finally {
      // Who leaves early wants nothing of what is still to come.
      if (!this.isOver) this.connection?.stream.destroy();
    }
  }

  submit(connection: CopyConnection): void {
    this.connection = connection;
    connection.query(this.sql);
  }

  handleCopyData({ chunk }: { chunk: Buffer }): void {
    // A view of a buffer that pg uses again.
    this.waiting.push(Buffer.from(chunk));
    this.waitingBytes += chunk.length;
    if (this.waitingBytes > QUEUE_BYTES) this.connection?.stream.pause();
    this.wake();
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.isOver = true;
    this.wake();
  }

  handleError(error: Error): void {
    this.failure = error;
    this.wake();
  }
}

/** A `copy … from stdin`. The statement fails when `source` does. */
export async function copyIn(
  client: pg.Client,
  sql: string,
  source: AsyncIterable<Buffer>,
): Promise<void> {
  const query = new CopyInQuery(sql, source);
  client.query(query as unknown as pg.Submittable);
  await query.done;
}

class CopyInQuery {
  callback: () => void = () => {};
  readonly done: Promise<void>;
  private readonly sql: string;
  private readonly source: AsyncIterable<Buffer>;
  private settle!: { resolve: () => void; reject: (error: unknown) => void };
  private failure: unknown;
  private sourceFailure: unknown;

  constructor(sql: string, source: AsyncIterable<Buffer>) {
    this.sql = sql;
    this.source = source;
    this.done = new Promise((resolve, reject) => (this.settle = { resolve, reject }));
  }

  submit(connection: CopyConnection): void {
    connection.query(this.sql);
  }

  handleCopyInResponse(connection: CopyConnection): void {
    void this.send(connection);
  }

  private async send(connection: CopyConnection): Promise<void> {
    try {
      for await (const chunk of this.source) {
        if (this.failure !== undefined) return;
        connection.sendCopyFromChunk(chunk);
        if (connection.stream.writableNeedDrain) await once(connection.stream, 'drain');
      }
      connection.endCopyFrom();
    } catch (error) {
      this.sourceFailure = error;
      connection.sendCopyFail('the backup could not be read');
    }
  }

  handleCommandComplete(): void {}

  handleReadyForQuery(): void {
    this.settle.resolve();
  }

  /** The last that is heard of this statement. */
  handleError(error: Error): void {
    this.failure = this.sourceFailure ?? error;
    this.settle.reject(this.failure);
  }
}
