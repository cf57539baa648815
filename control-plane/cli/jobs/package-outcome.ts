import { packagesResult } from '../../../proto/actions/packages.ts';
import type { PackagesOutcome } from '../../../proto/actions/packages.ts';
import { shell } from '../../../proto/documents/command-text.ts';
import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { aligned } from '../orders/package-lines.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Style } from '../output/terminal.ts';
import { formatCount } from '../output/time-text.ts';

const MOST_ROWS = 40;

const outcomes: Record<PackagesOutcome, { word: string; glyph: string; style: Style }> = {
  installed: { word: 'Installed', glyph: '✓', style: 'ok' },
  repaired: { word: 'Repaired', glyph: '✓', style: 'ok' },
  nothing_to_do: { word: 'Nothing to do', glyph: '✓', style: 'ok' },
  incomplete: { word: 'Not all as it should be', glyph: '✗', style: 'bad' },
  rolled_back: { word: 'Put back', glyph: '✗', style: 'bad' },
  restored: { word: 'As before', glyph: '✓', style: 'ok' },
};

/**
 * Says what became of each package; false for a job about something else.
 *
 * @param saidLater leaves out the detail where it stands in there
 */
export function sayPackages(
  { terminal }: CommandContext,
  job: JobBody,
  saidLater: string,
): boolean {
  if (!job.action.startsWith('packages.')) return false;
  const read = packagesResult.safeParse(job.result);
  if (!read.success) return true;
  const { outcome, packages, detail, audit } = read.data;
  const rows = packages
    .slice(0, MOST_ROWS)
    .map(({ name, before, after, state }) => [
      name,
      before === after ? (after ?? '-') : `${before ?? '-'} → ${after ?? '-'}`,
      state,
    ]);
  for (const line of aligned(rows)) terminal.say(line);
  if (packages.length > rows.length) {
    const more = formatCount(packages.length - rows.length, 'package');
    terminal.say(`  and ${more}: ${shell`intervene --json jobs show ${job.name}`}`);
  }
  for (const line of audit.split('\n').filter((text) => text !== '')) terminal.say(`  ${line}`);
  const known = outcomes[outcome];
  terminal.say(
    glyph(known.style, known.glyph),
    styled(known.style, known.word),
    saidLater.includes(detail) ? '' : `: ${detail}`,
  );
  return true;
}
