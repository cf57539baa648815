import type { JobBody } from '../api/bodies.ts';
import type { CommandContext } from '../command-context.ts';
import { jobStateTexts } from '../output/job-states.ts';
import { printTable } from '../output/table.ts';
import { styled } from '../output/terminal.ts';
import { formatAge } from '../output/time-text.ts';

/** Prints a list of jobs, one line each. */
export function printJobs(context: CommandContext, jobs: readonly JobBody[]): void {
  const now = context.surroundings.now();
  printTable(
    context.terminal,
    [
      { title: 'JOB', cell: (job) => job.name, keep: true },
      { title: 'ACTION', cell: (job) => job.action },
      { title: 'MODE', cell: (job) => job.mode },
      { title: 'STATE', cell: stateCell, plain: (job) => job.state, keep: true },
      { title: 'SERVER', cell: (job) => job.serverName },
      {
        title: 'AGE',
        cell: (job) => formatAge(now - Date.parse(job.createdAt)),
        plain: (job) => job.createdAt,
      },
    ],
    jobs,
  );
}

function stateCell(job: JobBody) {
  const { glyph, style, word } = jobStateTexts[job.state];
  const percent =
    job.state === 'running' && job.progress?.percent != null
      ? ` ${Math.floor(job.progress.percent)} %`
      : '';
  return styled(style, `${glyph} ${word.toLowerCase()}${percent}`);
}
