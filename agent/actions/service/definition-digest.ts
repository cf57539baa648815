import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { ActionError } from '../../runner/action.ts';
import type { Unit } from './unit.ts';

const MAX_BYTES = 1024 * 1024;

/** What a plan rests on: the files that say what the unit is. */
export async function definitionPrecondition(unit: Unit): Promise<Plan['preconditions'][number]> {
  const hash = createHash('sha256').update(JSON.stringify([unit.id, unit.standing.load]));
  for (const path of [...(unit.file === null ? [] : [unit.file]), ...unit.dropIns]) {
    hash.update(`\n${path}\n`).update(await contentOf(path));
  }
  return {
    what: `the files of ${unit.id} (${1 + unit.dropIns.length}), as systemd reads them`,
    digest: `sha256:${hash.digest('hex')}`,
  };
}

async function contentOf(path: string): Promise<Buffer> {
  const handle = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return null;
    throw error;
  });
  if (handle === null) return Buffer.from('absent');
  try {
    // A masked unit is /dev/null.
    if (!(await handle.stat()).isFile()) return Buffer.from('no file');
    const buffer = Buffer.alloc(MAX_BYTES);
    return buffer.subarray(0, (await handle.read(buffer, 0, MAX_BYTES, 0)).bytesRead);
  } finally {
    await handle.close();
  }
}

/** Throws ActionError `changed_since_plan` unless the plan was made with the same of each. */
export function requireSame(plan: Plan, now: readonly Plan['preconditions'][number][]): void {
  const other = now.find(
    ({ what, digest }) =>
      plan.preconditions.find((planned) => planned.what === what)?.digest !== digest,
  );
  if (other === undefined && now.length === plan.preconditions.length) return;
  throw new ActionError(
    'changed_since_plan',
    `it has changed since it was planned: ${other?.what ?? 'what it rests on'}; plan again`,
  );
}

export function digestOfJson(value: unknown): string {
  return `sha256:${createHash('sha256').update(JSON.stringify(value)).digest('hex')}`;
}
