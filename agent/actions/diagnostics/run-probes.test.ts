import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { diagnosticsResult, type Finding } from '../../../proto/actions/diagnostics.ts';
import { OBSERVED_ALL, observationFile } from '../../jobs/observation.ts';
import { commandEvidence, fitFindings } from './finding.ts';
import { Observations } from './observations.ts';
import { NotApplicable, ProbeFailure, type Probe, type ProbeContext } from './probe.ts';
import { probes } from './probes.ts';
import { runProbes } from './run-probes.ts';

const finding = (subject: string, change: Partial<Finding> = {}): Finding => ({
  rule: 'fs.full',
  area: 'filesystems',
  severity: 'warning',
  subject,
  title: `${subject} is full`,
  evidence: [commandEvidence('df', 'full')],
  suggestion: null,
  byHand: 'df',
  ...change,
});
const probe = (id: string, look: Probe['look'], limitMs = 1_000): Probe => ({
  id,
  area: 'filesystems',
  limitMs,
  look,
});
const context = {} as ProbeContext;
const never = () => new Promise<never>(() => undefined);

describe('probes', () => {
  const good = probe('good', async () => ({ findings: [finding('/')], facts: { cpus: 2 } }));
  const run = async (others: Probe[], withinMs = 5_000) => {
    const { findings, facts, reports } = await runProbes([...others, good], context, withinMs);
    expect(findings.map(({ subject }) => subject)).toContain('/');
    expect(facts).toEqual({ cpus: 2 });
    return reports;
  };

  it.each([
    [
      'fails',
      async () => Promise.reject(new ProbeFailure('lsblk is not installed')),
      'probe_failed',
      'lsblk is not installed',
    ],
    [
      'breaks',
      async () => Promise.reject(new TypeError('x is undefined')),
      'probe_failed',
      'TypeError: x is undefined',
    ],
    [
      'has nothing to look at',
      async () => Promise.reject(new NotApplicable('no RAID')),
      'not_applicable',
      'no RAID',
    ],
  ])('one that %s hides nothing of the others', async (_, look, outcome, detail) => {
    expect((await run([probe('bad', look)]))[0]).toMatchObject({ probe: 'bad', outcome, detail });
  });

  it('one that hangs is given up after its own limit', async () => {
    const [report] = await run([probe('slow', never, 50)]);
    expect(report).toMatchObject({
      outcome: 'probe_failed',
      detail: 'gave no answer within 50 ms',
    });
  });

  it('many that hang end when the time for all is over', async () => {
    const slow = Array.from({ length: 12 }, (_, at) => probe(`slow-${at}`, never, 60_000));
    const began = performance.now();
    const { reports } = await runProbes(slow, context, 200);
    expect(performance.now() - began).toBeLessThan(2_000);
    expect(reports.filter(({ outcome }) => outcome === 'probe_failed')).toHaveLength(12);
    expect(reports.at(-1)!.detail).toBe('no time was left for it');
  });

  it('have names of their own, and each a limit under the time for all', () => {
    expect(new Set(probes.map(({ id }) => id)).size).toBe(probes.length);
    for (const { limitMs } of probes) expect(limitMs).toBeLessThan(4_500);
  });
});

describe('a result', () => {
  const rest = { facts: {}, probes: [], durationMs: 1 };

  it('has the worst first, always in the same order', () => {
    const all = [
      finding('b'),
      finding('c', { severity: 'notice' }),
      finding('a'),
      finding('d', { severity: 'critical' }),
    ];
    const order = (findings: Finding[]) =>
      fitFindings(findings, rest).findings.map(({ subject }) => subject);
    expect(order(all)).toEqual(['d', 'a', 'b', 'c']);
    expect(order(all.toReversed())).toEqual(['d', 'a', 'b', 'c']);
  });

  it('is cut at what travels, the least severe first, and says how much is missing', () => {
    const long = commandEvidence('x', '⚡'.repeat(1000));
    const many = Array.from({ length: 300 }, (_, at) =>
      finding(`unit-${at}`, { severity: at < 10 ? 'critical' : 'notice', evidence: [long, long] }),
    );
    const result = diagnosticsResult.parse(fitFindings(many, rest));
    expect(Buffer.byteLength(JSON.stringify(result))).toBeLessThanOrEqual(64 * 1024);
    expect(result.findings.filter(({ severity }) => severity === 'critical')).toHaveLength(10);
    expect(result.findings.length + result.omittedFindings).toBe(300);
  });

  it('holds only what can be stored', async () => {
    const odd = { ...finding('a\0b'), title: 'x'.repeat(999), byHand: `\ud800${'y'.repeat(999)}` };
    const bad = probe('odd', async () => ({ findings: [odd] }));
    const { findings } = await runProbes([bad], context, 1_000);
    expect(findings).toMatchObject([{ subject: 'a\ufffdb' }]);
    expect(() => diagnosticsResult.shape.findings.parse(findings)).not.toThrow();
    expect(findings[0]!.byHand.isWellFormed()).toBe(true);
  });
});

describe('what the agent observed', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ivo-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  async function arrive(name: string, change: object = {}): Promise<void> {
    const seen = {
      exitStatus: 0,
      problem: null,
      out: 'seen',
      err: '',
      command: 'df --local',
      ...change,
    };
    await writeFile(join(folder, '.draft'), JSON.stringify(seen));
    await rename(join(folder, '.draft'), join(folder, observationFile(name)));
  }

  it('is there when it arrives, early or late', async () => {
    await arrive('space');
    const observations = new Observations(folder);
    const following = observations.follow(5_000);
    const late = observations.get('nft');
    expect((await observations.get('space')).out).toBe('seen');
    await arrive('nft');
    expect((await late).out).toBe('seen');
    const all = observations.matching('smart-');
    await arrive('smart-sda');
    await writeFile(join(folder, OBSERVED_ALL), '');
    expect(await all).toEqual(['smart-sda']);
    await following;
  });

  it('is missed when it does not arrive in time', async () => {
    const observations = new Observations(folder);
    void observations.follow(50);
    await expect(observations.get('units')).rejects.toThrow('has not observed units in time');
  });

  it.each([
    ['not_found', 'df is not installed'],
    ['timed_out', 'df --local took too long'],
    ['too_long', 'printed too much'],
    ['not_started', 'could not be run'],
    ['not_applicable', 'nothing to look at'],
  ])('may be none: %s', async (problem, text) => {
    await arrive('space', { problem, exitStatus: null });
    const observations = new Observations(folder);
    void observations.follow(1_000);
    await expect(observations.get('space')).rejects.toThrow(text);
    await writeFile(join(folder, OBSERVED_ALL), '');
  });
});
