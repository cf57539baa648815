import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeDurably } from '../connection/durable-file.ts';

const FILE = 'going-down.json';

const goingDownSchema = z.strictObject({
  version: z.literal(1),
  /** Of the boot that the job ends (`/proc/sys/kernel/random/boot_id`). */
  boot: z.string(),
  at: z.int(),
});
/** Says in a job's folder that the job has told the system to boot again. */
export type GoingDown = z.output<typeof goingDownSchema>;

/** On disk when it returns. */
export async function noteGoingDown(directory: string): Promise<void> {
  const note: GoingDown = { version: 1, boot: bootId(), at: Date.now() };
  await writeDurably(join(directory, FILE), JSON.stringify(note), 0o600);
}

/** Null for a job that has not. */
export function readGoingDown(directory: string): GoingDown | null {
  try {
    return goingDownSchema.parse(JSON.parse(readFileSync(join(directory, FILE), 'utf8')));
  } catch {
    return null;
  }
}

/** Changes with every boot (random(4)). */
export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
