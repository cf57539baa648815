import { z } from 'zod';
import { plannedDisk, plannedPackage } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { displayWidth } from '../output/display-width.ts';
import { styled } from '../output/terminal.ts';
import type { Piece } from '../output/terminal.ts';
import { formatBytes } from '../output/time-text.ts';

const tables = z.object({
  packages: z.array(plannedPackage),
  disk: z.array(plannedDisk),
  downloadBytes: z.int(),
});

/** Parts of a plan's target that `packageLines` shows. */
export const PACKAGE_TABLES: readonly string[] = ['packages', 'disk', 'downloadBytes'];

/**
 * The packages of a plan as a table, one line each and never cut; none for a plan about something else. Of
 * each archive's SHA-256 the beginning is shown: the digest of the plan covers all of it.
 */
export function packageLines(target: Plan['target']): Piece[][] {
  const read = tables.safeParse(target);
  if (!read.success) return [];
  const { packages, disk, downloadBytes } = read.data;
  if (packages.length === 0) return [];
  const rows = [
    ['PACKAGE', 'ARCH', 'NOW', 'BECOMES', 'SIZE', 'SHA-256'],
    ...packages.map(({ name, architecture, from, to, bytes, sha256 }) => [
      name,
      architecture,
      from ?? '-',
      to,
      formatBytes(bytes),
      `${sha256.slice(0, 12)}…`,
    ]),
  ];
  return [
    ...aligned(rows).map((line, at): Piece[] => [at === 0 ? styled('muted', line) : line]),
    [`  fetches ${formatBytes(downloadBytes)}`],
    ...disk.map(({ fileSystem, neededBytes, freeAtLeastBytes }): Piece[] => [
      `  writes up to ${formatBytes(neededBytes)} to ${fileSystem}, where over ${formatBytes(freeAtLeastBytes)} are free`,
    ]),
  ];
}

/** Columns as wide as their widest cell, two spaces apart. */
export function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) =>
    Math.max(...rows.map((row) => displayWidth(row[at] ?? ''))),
  );
  return rows.map((row) =>
    `  ${row.map((cell, at) => cell + ' '.repeat(widths[at]! - displayWidth(cell))).join('  ')}`.trimEnd(),
  );
}
