import { z } from '@hono/zod-openapi';
import { DomainError } from '../domain-error.ts';

const MOST = 500;
const DEFAULT = 100;

/** How lists are paged: `next` of one answer is `after` of the next request. */
export const pageQuery = z.object({
  limit: z.coerce.number().int().min(1).max(MOST).default(DEFAULT),
  after: z.string().max(400).optional().describe('`next` of the page before'),
});

export interface PageRequest {
  /** What to ask the domain for: one row more than is shown tells whether there are others. */
  wanted: { after: string | null; limit: number };
  /** The body, where `key` is what the list is ordered by. */
  body<T>(rows: T[], key: (row: T) => string | number): { items: T[]; next: string | null };
}

export function pageOf(query: z.output<typeof pageQuery>): PageRequest {
  return {
    wanted: { after: readCursor(query.after), limit: query.limit + 1 },
    body: (rows, key) => {
      const items = rows.slice(0, query.limit);
      const last = items.at(-1);
      const hasMore = rows.length > query.limit && last !== undefined;
      return { items, next: hasMore ? writeCursor(String(key(last))) : null };
    },
  };
}

function writeCursor(key: string): string {
  return Buffer.from(key).toString('base64url');
}

function readCursor(cursor: string | undefined): string | null {
  if (cursor === undefined) return null;
  const key = Buffer.from(cursor, 'base64url').toString();
  if (writeCursor(key) !== cursor || key.includes('\0')) {
    throw cursorInvalid();
  }
  return key;
}

/** For an `after` that no page gave. */
export function cursorInvalid(): DomainError {
  return new DomainError('invalid', 'cursor_invalid', 'The list cannot be continued from there.');
}
