import { copyFile, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { itEach } from '../../../../test/fixtures/matrix.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { debugfs, makeDamagedExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { ActionFixture, type JobOptions, type Trace } from '../testing/action-fixture.ts';
import { patchFile, sha256 } from '../testing/image-bytes.ts';
import { makeManyProblems } from '../testing/many-problems.ts';
import { programsWith } from '../testing/running-programs.ts';

class RunnerDiedError extends Error {}

describe('a repair that is killed', { timeout: 120_000 }, () => {
  let fixture: ActionFixture;
  let device: string;
  let plan: Plan;
  let before: string;
  beforeAll(async () => {
    fixture = await ActionFixture.create();
    device = fixture.path('disk');
    await makeManyProblems(device);
    before = await sha256(device);
    await copyFile(device, fixture.path('damaged'));
    ({ plan } = await fixture.plan({ device }));
  });
  beforeEach(() => copyFile(fixture.path('damaged'), device));
  afterAll(() => fixture.close());

  const isRepair = (argv: readonly string[]) =>
    argv[0] === 'e2fsck' && argv.at(-1) === device && argv.includes('-fy');

  /** Kills e2fsck on the device for certain while it writes: it waits for its words to be read. */
  function killedAt(words: string): Pick<JobOptions, 'onOutput'> & { kills: number } {
    let seen = '';
    const options = {
      kills: 0,
      async onOutput(text: string) {
        // What is read together need not have been written together.
        seen = seen.slice(-words.length) + text;
        if (options.kills > 0 || !seen.includes(words)) return;
        for (const pid of await programsWith('e2fsck', '-fy', device)) {
          process.kill(pid, 'SIGKILL');
          options.kills++;
        }
      },
    };
    return options;
  }

  itEach(1, [['Pass 2'], ['Pass 1'], ['link-300']])(
    'at "%s" puts everything back by itself',
    async (words) => {
      const options = killedAt(words);
      const trace: Partial<Trace> = {};
      const done = fixture.apply(plan, options, trace);
      await expect(done).rejects.toMatchObject({ reason: 'tool_failed' });
      await expect(done).rejects.toThrow('ended by SIGKILL. The device is as it was before.');
      expect(options.kills).toBe(1);
      expect(await sha256(device)).toBe(before);
      expect(trace.records!.at(-1)).toMatchObject({ type: 'step_ended', ok: false });
      const undone = await fixture.undo(trace as Trace, { device });
      expect(undone.result.detail).toContain('as it was before the repair already');
      expect(await sha256(device)).toBe(before);
      // The plan still holds: what it was made for is there again.
      expect((await fixture.apply(plan)).result.outcome).toBe('corrected');
    },
  );

  itEach(1, [['link-300'], ['Pass 2']])(
    'at "%s" together with its runner is undone to the same bytes',
    async (words) => {
      const options = Object.assign(killedAt(words), {
        onEnd(argv: readonly string[]) {
          if (isRepair(argv)) throw new RunnerDiedError();
        },
      });
      const trace: Partial<Trace> = {};
      await expect(fixture.apply(plan, options, trace)).rejects.toBeInstanceOf(RunnerDiedError);
      expect(options.kills).toBe(1);
      const undone = await fixture.undo(trace as Trace, { device });
      expect(undone.succeeded).toBe(true);
      expect(await sha256(device)).toBe(before);
    },
  );

  /** The device half repaired, and nobody left to put it back. */
  async function halfRepaired(): Promise<Trace> {
    const trace: Partial<Trace> = {};
    const onEnd = (argv: readonly string[]) => {
      if (isRepair(argv)) throw new RunnerDiedError();
    };
    await expect(fixture.apply(plan, { onEnd }, trace)).rejects.toBeInstanceOf(RunnerDiedError);
    expect(await sha256(device)).not.toBe(before);
    return trace as Trace;
  }

  it('is undone without the undo file of e2fsck, and with one that was cut off', async () => {
    const trace = await halfRepaired();
    await copyFile(device, fixture.path('half'));
    const undoFile = join(trace.directory, 'backups', 'e2fsck.undo');
    await truncate(undoFile, 5000);
    await fixture.undo(trace, { device });
    expect(await sha256(device)).toBe(before);
    await copyFile(fixture.path('half'), device);
    await rm(undoFile);
    await fixture.undo(trace, { device });
    expect(await sha256(device)).toBe(before);
  });

  it('is not undone when the file system was mounted after it', async () => {
    const trace = await halfRepaired();
    await debugfs(device, [`ssv mtime @${Math.floor(Date.now() / 1000) + 3600}`]);
    const used = await sha256(device);
    const undone = fixture.undo(trace, { device });
    await expect(undone).rejects.toMatchObject({ reason: 'changed_since' });
    expect(await sha256(device)).toBe(used);
  });

  it('is not undone when something else on the device was changed after it', async () => {
    const trace = await halfRepaired();
    await patchFile(device, 15 * 1024 * 1024, Buffer.from('new'));
    await expect(fixture.undo(trace, { device })).rejects.toMatchObject({
      reason: 'changed_since',
    });
  });
});

describe('a repair that writes what its rehearsal had not shown', { timeout: 120_000 }, () => {
  let fixture: ActionFixture;
  let device: string;
  let before: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    device = fixture.path('disk');
    await makeDamagedExt4(device, { type: 'ext2' });
    // A folder with gaps, which packing closes.
    const links = Array.from({ length: 12 }, (_, index) => `/home/link-${index}`);
    await debugfs(
      device,
      links.map((link) => `symlink ${link} x`),
    );
    await debugfs(
      device,
      links.slice(3, 9).map((link) => `rm ${link}`),
    );
    before = await sha256(device);
  });
  afterEach(() => fixture.close());

  /** On the device e2fsck also packs folders (-D), which it was not told in the rehearsal. */
  const onStart = (argv: readonly string[]) =>
    argv.includes('-fy') && argv.at(-1) === device
      ? argv.map((word) => (word === '-fy' ? '-fyD' : word))
      : argv;

  it('is undone to the same bytes', async () => {
    const done = await fixture.apply((await fixture.plan({ device })).plan, { onStart });
    expect(done.notes.join()).toContain('The repair did');
    await stat(join(done.directory, 'backups', 'unforeseen-before'));
    await fixture.undo(done, { device });
    expect(await sha256(device)).toBe(before);
  });

  it('is undone to the same bytes when its runner died at the end', async () => {
    const trace: Partial<Trace> = {};
    const onEnd = (argv: readonly string[]) => {
      if (argv.includes('-fy') && argv.at(-1) === device) throw new RunnerDiedError();
    };
    const { plan } = await fixture.plan({ device });
    const done = fixture.apply(plan, { onStart, onEnd }, trace);
    await expect(done).rejects.toBeInstanceOf(RunnerDiedError);
    await fixture.undo(trace as Trace, { device });
    expect(await sha256(device)).toBe(before);
  });

  it('is not undone when something else was changed after it', async () => {
    const done = await fixture.apply((await fixture.plan({ device })).plan, { onStart });
    await patchFile(device, 15 * 1024 * 1024, Buffer.from('new'));
    await expect(fixture.undo(done, { device })).rejects.toMatchObject({ reason: 'changed_since' });
  });

  it('never says that all is as it was when it is not', async () => {
    const trace: Partial<Trace> = {};
    const onEnd = (argv: readonly string[]) => {
      if (argv.includes('-fy') && argv.at(-1) === device) throw new RunnerDiedError();
    };
    const { plan } = await fixture.plan({ device });
    await expect(fixture.apply(plan, { onStart, onEnd }, trace)).rejects.toThrow();
    await rm(join(trace.directory!, 'backups', 'e2fsck.undo'));
    const undone = fixture.undo(trace as Trace, { device });
    await expect(undone).rejects.toMatchObject({
      reason: expect.stringMatching(/^(?:changed_since|undo_incomplete)$/),
    });
  });
});
