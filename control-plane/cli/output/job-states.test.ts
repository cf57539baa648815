import { describe, expect, it } from 'vitest';
import { jobState } from '../../http/schemas.ts';
import { isFinal as isFinalThere } from '../../jobs/job-states.ts';
import { exitStatusMeanings, exitStatusOfJob } from '../exit-status.ts';
import { isFinal, jobStateTexts } from './job-states.ts';

describe('the states of a job', () => {
  it.each(jobState.options)('%s has a word, a sign and an exit status', (state) => {
    expect(jobStateTexts[state].word).toMatch(/^[A-Z]/);
    expect(jobStateTexts[state].glyph).toMatch(/^.$/u);
    expect(exitStatusMeanings.map(([status]) => status)).toContain(exitStatusOfJob(state));
  });

  it('are final here where the control plane says so', () => {
    expect(jobState.options.filter(isFinal)).toEqual(jobState.options.filter(isFinalThere));
  });

  it('give exit status 0 for success and for nothing else', () => {
    expect(jobState.options.filter((state) => exitStatusOfJob(state) === 0)).toEqual(['succeeded']);
  });

  it.each([
    ['failed', 1],
    ['refused', 3],
    ['cancelled', 4],
    ['timed_out', 4],
    ['expired', 5],
    ['abandoned', 5],
    ['running', 5],
    ['interrupted', 6],
  ] as const)('%s ends with %i', (state, status) => {
    expect(exitStatusOfJob(state)).toBe(status);
  });
});
