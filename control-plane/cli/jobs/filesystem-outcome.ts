import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { glyph, styled } from '../output/terminal.ts';
import type { Style } from '../output/terminal.ts';
import { formatCount } from '../output/time-text.ts';

/** How file systems are said to be; results that are never mixed up, and the tool's own failure. */
const outcomes: Record<string, { word: string; glyph: string; style: Style }> = {
  clean: { word: 'Clean', glyph: '✓', style: 'ok' },
  corrected: { word: 'Corrected', glyph: '✓', style: 'info' },
  errors_left: { word: 'Errors left', glyph: '✗', style: 'bad' },
  journal_pending: { word: 'Not unmounted', glyph: '!', style: 'warn' },
  tool_too_old: { word: 'Tool too old', glyph: '!', style: 'warn' },
  restored: { word: 'As before the repair', glyph: '✓', style: 'ok' },
  operational_error: { word: 'The tool could not do its work', glyph: '✗', style: 'bad' },
};

/** @param saidLater leaves out the detail where it stands in there */
export function sayFilesystem({ terminal }: CommandContext, job: JobBody, saidLater: string): void {
  const result = job.result as { outcome?: unknown; detail?: unknown; problems?: unknown } | null;
  if (typeof result?.outcome !== 'string') return;
  const known = outcomes[result.outcome];
  if (known === undefined) return;
  const problems =
    typeof result.problems === 'number' && result.problems > 0
      ? `${formatCount(result.problems, 'problem')} reported`
      : '';
  const own = typeof result.detail === 'string' ? result.detail : '';
  const detail = saidLater.includes(own) ? '' : own;
  if (job.mode === 'undo' && result.outcome !== 'restored') {
    // An agent from before there was that word; its own words say what it put back.
    if (detail !== '') terminal.say(detail);
    return;
  }
  const more = [problems, detail].filter(Boolean).join('; ');
  terminal.say(
    glyph(known.style, known.glyph),
    styled(known.style, known.word),
    more === '' ? '' : `: ${more}`,
  );
}
