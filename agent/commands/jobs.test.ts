import { readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { PersonAtTerminal } from '../../test/harness/person-at-terminal.ts';
import { JobsFixture } from '../jobs/jobs-fixture.ts';
import { jobsCommand, pruneCommand, type PruneOptions } from './jobs.ts';

const DAY_MS = 86_400_000;

let fixture: JobsFixture;
beforeEach(async () => {
  fixture = await JobsFixture.create();
});
afterEach(async () => {
  await fixture.close();
});

const left = () => readdirSync(join(fixture.state, 'jobs')).toSorted();
const endedJob = (days: number, saved: readonly string[] = []) =>
  fixture.keptJob({ endedAt: Date.now() - days * DAY_MS, saved });

/** What a command says, and its status. */
async function said(command: () => Promise<number>) {
  const out = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((name) =>
    vi.spyOn(process[name], 'write').mockImplementation((text) => {
      out[name] += String(text);
      return true;
    }),
  );
  try {
    return { status: await command(), ...out };
  } finally {
    for (const spy of spies) spy.mockRestore();
  }
}
const list = (json?: true) =>
  said(() => jobsCommand({ state: fixture.state, ...(json && { json }) }));
const prune = (options: PruneOptions = {}, ...names: string[]) =>
  said(() => pruneCommand(names, { state: fixture.state, ...options }));

describe('intervene-agent jobs', () => {
  it('lists what is there, the oldest first, for people and as JSON', async () => {
    const young = await endedJob(1);
    const old = await endedJob(40, ['/a']);
    const { status, stdout } = await list();
    expect(status).toBe(0);
    const [first, second, ...rest] = stdout.trimEnd().split('\n');
    expect(first).toMatch(`${old}  command.run apply`);
    expect(first).toMatch(
      / - +\d{4}-\d\d-\d\dT\d\d:\d\dZ {2}succeeded +[\d.]+ KiB {2}can be undone$/,
    );
    expect(second).toMatch(young);
    expect(rest.join('\n')).toMatch(/^2 jobs, [\d.]+ KiB\nNext: /);
    const json = JSON.parse((await list(true)).stdout) as unknown;
    expect(json).toMatchObject([
      { id: old, isUndoable: true },
      { id: young, hold: null },
    ]);
  });

  it('names the ticket that a job was for, and gives the terminal no orders in it', async () => {
    await fixture.keptJob({ ticket: 'T-4711' });
    await fixture.keptJob({ ticket: 'T-1\u001b[2J\u202e' });
    const { stdout } = await list();
    expect(stdout).toMatch(/ {2}command\.run apply +T-4711 +20/);
    expect(stdout).toContain('T-1⟦U+001B⟧[2J⟦U+202E⟧');
    const { stdout: json } = await list(true);
    expect(json).not.toMatch(/[^\P{Cc}\n]|\p{Cf}/u);
    expect(JSON.parse(json)).toMatchObject([{ what: { ticket: 'T-4711' } }, {}]);
  });

  it('says so where nothing is', async () => {
    expect(await list()).toMatchObject({ status: 0, stdout: 'No job has left anything.\n' });
  });
});

describe('intervene-agent jobs prune', () => {
  it('removes what is older than 30 days, or than it is told', async () => {
    const [young, old] = [await endedJob(2), await endedJob(31)];
    expect(await prune({ dryRun: true })).toMatchObject({
      status: 0,
      stdout: expect.stringContaining(old) as string,
    });
    expect(left()).toEqual([young, old].toSorted());
    expect((await prune()).stderr).toMatch(/Removed what 1 job had left: [\d.]+ KiB/);
    expect(left()).toEqual([young]);
    expect((await prune()).stderr).toContain('Nothing to remove');
    const last = await prune({ olderThan: '47h', json: true });
    expect([last.status, JSON.parse(last.stdout)]).toMatchObject([0, [{ id: young }]]);
    expect(left()).toEqual([]);
  });

  it('keeps what an undo needs where nobody can be asked, unless it is told not to ask', async () => {
    const [plain, undoable] = [await endedJob(31), await endedJob(31, ['/a'])];
    const first = await prune();
    expect([first.status, first.stderr]).toEqual([0, expect.stringContaining('--yes')]);
    expect(left()).toEqual([undoable]);
    const named = await prune({}, undoable);
    expect([named.status, left()]).toEqual([1, [undoable]]);
    expect((await prune({ yes: true })).status).toBe(0);
    expect([plain, left()]).toEqual([plain, []]);
  });

  it('asks a person before an undo is lost', async () => {
    const undoable = await endedJob(31, ['/a']);
    for (const [answer, rest] of [
      ['\r', [undoable]],
      ['yes\r', []],
    ] as const) {
      const program = [process.execPath, join(import.meta.dirname, '../main.ts')];
      const words = ['jobs', 'prune', '--state', fixture.state];
      const person = new PersonAtTerminal([...program, ...words], {});
      await person.sees('Remove it, too?');
      person.type(answer);
      await person.sees('Removed what');
      await expect.poll(() => person.exitStatus).toBe(0);
      expect(left()).toEqual(rest);
    }
  });

  it('removes named jobs whatever their age, and none of them when one must stay', async () => {
    const [one, other] = [await endedJob(0), await endedJob(0)];
    const agent = fixture.agent();
    const spec = fixture.command(['sleep', '600']);
    await agent.start(spec, {});
    const refused = await prune({ yes: true }, one, spec.job);
    expect([refused.status, refused.stderr]).toEqual([1, expect.stringContaining('it runs')]);
    expect((await prune({ olderThan: '0d', dryRun: true })).stdout).not.toContain(spec.job);
    const unknown = await prune({}, one, '../../etc');
    expect([unknown.status, unknown.stderr]).toEqual([1, expect.stringContaining('no such job')]);
    expect(left()).toEqual([one, other, spec.job].toSorted());
    expect((await prune({}, one)).status).toBe(0);
    expect(left()).toEqual([other, spec.job].toSorted());
  });

  it.each([
    [{ olderThan: 'soon' }, []],
    [{ olderThan: '-1d' }, []],
    [{ olderThan: '1d' }, ['x']],
  ])('changes nothing for %j of %j', async (options, names) => {
    const old = await endedJob(400);
    expect((await prune(options, ...names)).status).toBe(2);
    expect(left()).toEqual([old]);
  });

  it('says what it cannot remove, and goes on with it the next time', async () => {
    await endedJob(31);
    const trust = join(fixture.state, 'trust');
    writeFileSync(trust, '');
    const { status, stderr } = await prune();
    expect([status, stderr]).toEqual([1, expect.stringContaining('trust')]);
    rmSync(trust);
    await prune();
    expect(left()).toEqual([]);
  });
});
