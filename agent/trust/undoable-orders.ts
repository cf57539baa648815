import { readFileSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { readUnverified } from '../../proto/documents/document.ts';
import { uuidV7 } from '../../proto/documents/fields.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import { syncDirectory, writeDurably } from '../connection/durable-file.ts';

/** The accepted orders whose changes can be taken back; an undo is judged by what they said. */
export class UndoableOrders {
  private readonly directory: string;

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async open(directory: string): Promise<UndoableOrders> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await syncDirectory(path.dirname(directory));
    return new UndoableOrders(directory);
  }

  /** On disk when it resolves. */
  async keep(job: string, envelope: Uint8Array): Promise<void> {
    await writeDurably(this.file(job), envelope);
  }

  /** Undefined when this agent accepted no such order, or its record cannot be read. */
  find(job: string): Order | undefined {
    try {
      return readUnverified('order', readFileSync(this.file(job))).payload;
    } catch {
      return undefined;
    }
  }

  /** From now on its changes cannot be taken back. */
  async forget(job: string): Promise<void> {
    await rm(this.file(job), { force: true });
    await syncDirectory(this.directory);
  }

  private file(job: string): string {
    return path.join(this.directory, `${uuidV7.parse(job)}.json`);
  }
}
