import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { open } from 'node:fs/promises';
import path from 'node:path';
import { z } from 'zod';
import { digest, fingerprint, timestamp, uuid, uuidV7 } from '../proto/documents/fields.ts';
import { syncDirectory } from './connection/durable-file.ts';

/** What an accepted order allows, for the time in which its job runs. */
const permissionSchema = z.strictObject({
  action: z.string(),
  mode: z.enum(['plan', 'apply', 'undo']),
  /** Two jobs that change something never run at once. */
  isChanging: z.boolean(),
  /** Digest of the plan it applies. */
  plan: digest.nullable(),
  /** Grant whose end or revocation stops the job; null for an undo, which outlives it. */
  grant: uuid.nullable(),
  grantExpiresAt: timestamp,
  /** Keys of those who signed; the revocation of one stops the job. */
  keys: z.array(fingerprint),
  /** Those of them that signed the order. Agents before this field took all keys for stopping. */
  engineerKeys: z.array(fingerprint).optional(),
});
export type Permission = z.output<typeof permissionSchema>;

const statementSchema = z.strictObject({
  job: uuidV7,
  /** Of the order as it was delivered. */
  orderHash: z.string(),
  /** Envelope that accepts or refuses, as sent. */
  receipt: z.base64(),
  /** Null for an order that was refused. */
  permission: permissionSchema.nullable(),
  /** Seconds; until then a second delivery gets the same answer. */
  keepUntil: timestamp,
});
export type NewStatement = z.output<typeof statementSchema>;

export interface Statement extends NewStatement {
  /** Envelope that states the end, as sent; null before. */
  ended: Buffer | null;
  /** Whether the control plane has committed the end, or the refusal. */
  isDone: boolean;
}

/** More than an honest control plane ever has open; a lying one can make no more files than this. */
const REFUSALS_MAX = 1_000;

export function hashOf(order: Uint8Array): string {
  return createHash('sha256').update(order).digest('base64url');
}

/**
 * What this agent has stated about orders: so that the same delivery always gets the same answer, also
 * after a restart. Three small files per job, each written once; they lie in `trust/`, which no job can
 * read or write. Everything survives the death of this process; `sync` makes a statement survive a power
 * cut too.
 */
export class StatementStore {
  private readonly directory: string;
  private readonly statements = new Map<string, Statement>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** Reads what is there and removes what has had its time, and what a power cut left torn. */
  static open(directory: string, now: number): StatementStore {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const store = new StatementStore(directory);
    const jobs = new Set(readdirSync(directory).map((name) => name.split('.', 1)[0]!));
    for (const job of jobs) {
      const statement = store.read(job);
      if (statement === null || isOver(statement, now)) store.remove(job);
      else store.statements.set(job, statement);
    }
    return store;
  }

  get(job: string): Statement | undefined {
    return this.statements.get(job);
  }

  all(): Iterable<Statement> {
    return this.statements.values();
  }

  /** Forgets what has had its time; returns the jobs. */
  prune(now: number): string[] {
    const over = [...this.statements.values()].filter((statement) => isOver(statement, now));
    for (const { job } of over) this.remove(job);
    return over.map(({ job }) => job);
  }

  /** Remembered in any case; throws when it could not be written. */
  put(statement: NewStatement): void {
    this.remove(statement.job);
    this.statements.set(statement.job, { ...statement, ended: null, isDone: false });
    if (statement.permission === null) this.limitRefusals();
    this.write(statement.job, 'json', JSON.stringify(statement));
  }

  /** Throws when it could not be written; it is not remembered then, and must not be sent. */
  setEnded(job: string, ended: Uint8Array): void {
    const statement = this.statements.get(job);
    if (statement === undefined) return;
    this.write(job, 'ended', ended);
    statement.ended = Buffer.from(ended);
  }

  setDone(job: string): void {
    const statement = this.statements.get(job);
    if (statement === undefined || statement.isDone) return;
    statement.isDone = true;
    try {
      this.write(job, 'done', '');
    } catch {
      // A full disk: after a restart the end is sent once more, and committed once.
    }
  }

  async sync(job: string): Promise<void> {
    const handle = await open(this.file(job, 'json'), 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await syncDirectory(this.directory);
  }

  private read(job: string): Statement | null {
    try {
      const text = readFileSync(this.file(job, 'json'), 'utf8');
      const ended = this.file(job, 'ended');
      return {
        ...statementSchema.parse(JSON.parse(text)),
        ended: existsSync(ended) ? nonEmpty(readFileSync(ended)) : null,
        isDone: existsSync(this.file(job, 'done')),
      };
    } catch {
      return null;
    }
  }

  private write(job: string, suffix: Suffix, content: string | Uint8Array): void {
    const draft = this.file(job, 'draft');
    writeFileSync(draft, content, { mode: 0o600 });
    renameSync(draft, this.file(job, suffix));
  }

  private remove(job: string): void {
    this.statements.delete(job);
    for (const name of ['json', 'ended', 'done', 'draft']) {
      rmSync(path.join(this.directory, `${job}.${name}`), { force: true });
    }
  }

  private limitRefusals(): void {
    const refusals = [...this.statements.values()].filter(({ permission }) => permission === null);
    const surplus = Math.max(0, refusals.length - REFUSALS_MAX);
    for (const { job } of refusals.slice(0, surplus)) this.remove(job);
  }

  private file(job: string, suffix: Suffix): string {
    return path.join(this.directory, `${uuidV7.parse(job)}.${suffix}`);
  }
}

/** Whether something is still stated about a job, for a reader beside the agent. */
export function isStated(directory: string, job: string): boolean {
  return existsSync(path.join(directory, `${job}.json`));
}

function isOver({ keepUntil, isDone, permission }: Statement, now: number): boolean {
  return keepUntil < now && (isDone || permission === null);
}

type Suffix = 'json' | 'ended' | 'done' | 'draft';

/** A power cut may leave the name and not the content; it is then signed again. */
function nonEmpty(bytes: Buffer): Buffer | null {
  return bytes.length > 0 ? bytes : null;
}
