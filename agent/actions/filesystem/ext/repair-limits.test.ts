import { cp, mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeDamagedExt4 } from '../../../../test/fixtures/damaged-ext4.ts';
import { LoopFixture } from '../../../target/loop-fixture.ts';
import { ActionFixture, type Trace } from '../testing/action-fixture.ts';
import { sha256 } from '../testing/image-bytes.ts';

describe('where a repair keeps what it saves', () => {
  let fixture: ActionFixture;
  let loops: LoopFixture;
  let device: string;
  let before: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    loops = await LoopFixture.create();
    device = fixture.path('disk');
    await makeDamagedExt4(device);
    before = await sha256(device);
  });
  afterEach(async () => {
    expect(await sha256(device)).toBe(before);
    await loops.close();
    await fixture.close();
  });

  const memory = (size: string) => loops.mount('-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs');

  it('is not memory in a rescue system', async () => {
    const backupDirectory = await memory('64m');
    const planned = fixture.plan({ device, backupDirectory }, { agentMode: 'rescue' });
    await expect(planned).rejects.toMatchObject({ reason: 'no_backup_space' });
    await expect(planned).rejects.toThrow('name a folder on a disk');
  });

  it('may be memory on a server whose owner opted in, and the log says what that means', async () => {
    const backupDirectory = await memory('64m');
    const { plan, notes } = await fixture.plan({ device, backupDirectory });
    expect(notes.join()).toContain('is not known to outlive a power cut');
    const done = await fixture.apply(plan);
    expect(done.result.outcome).toBe('corrected');
    await fixture.undo(done, { device, backupDirectory });
  });

  it('has room for all of it, or nothing is begun', async () => {
    const backupDirectory = await memory('256k');
    await expect(fixture.plan({ device, backupDirectory })).rejects.toMatchObject({
      reason: 'no_backup_space',
    });
    const roomy = await memory('64m');
    const { plan } = await fixture.plan({ device, backupDirectory: roomy });
    const small = { ...plan, parameters: { device, backupDirectory } };
    await expect(fixture.apply(small)).rejects.toMatchObject({ reason: 'no_backup_space' });
    expect(await readdir(backupDirectory)).toEqual([]);
  });

  it('when it is filled up by others in the middle costs the repair, not the device', async () => {
    const backupDirectory = await memory('8m');
    const { plan } = await fixture.plan({ device, backupDirectory });
    const onStep = async (step: string) => {
      if (step !== 'repair') return;
      await writeFile(join(backupDirectory, 'others'), Buffer.alloc(8 * 1024 * 1024)).catch(
        () => undefined,
      );
    };
    const trace: Partial<Trace> = {};
    await expect(fixture.apply(plan, { onStep }, trace)).rejects.toMatchObject({
      reason: 'no_backup_space',
    });
    expect(trace.records!.at(-1)).toMatchObject({ step: 'repair', ok: false });
  });

  it('is never on the file system under repair', async () => {
    const image = await loops.ext4('other');
    const loop = await loops.loop(image);
    const backupDirectory = await loops.mount('-o', 'ro', loop);
    for (const mounted of [loop, image]) {
      const planned = fixture.plan({ device: mounted, backupDirectory });
      await expect(planned).rejects.toMatchObject({ reason: 'device_in_use' });
    }
  });

  it('can be written', async () => {
    const point = await loops.mount('-o', 'loop,ro', await loops.ext4('other'));
    const { plan } = await fixture.plan({ device, backupDirectory: point });
    await expect(fixture.apply(plan)).rejects.toMatchObject({ reason: 'no_backup_space' });
  });

  it('is there', async () => {
    const backupDirectory = fixture.path('kept');
    await mkdir(backupDirectory);
    const { plan } = await fixture.plan({ device, backupDirectory });
    await rm(backupDirectory, { recursive: true });
    await expect(fixture.apply(plan)).rejects.toMatchObject({ reason: 'no_backup_space' });
  });

  it('has room for the copy it rehearses on, or the plan says so', async () => {
    const scratch = await memory('256k');
    const jobs = fixture.path('jobs');
    await rm(jobs, { recursive: true, force: true });
    await cp(scratch, jobs, { recursive: true });
    await loops.run('mount', '--bind', scratch, jobs);
    try {
      await expect(fixture.plan({ device })).rejects.toMatchObject({ reason: 'no_scratch_space' });
      await expect(fixture.check({ device })).rejects.toMatchObject({ reason: 'no_scratch_space' });
    } finally {
      await loops.run('umount', jobs);
    }
  });
});

describe('a disk that fails', () => {
  let fixture: ActionFixture;
  let loops: LoopFixture;
  let image: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    loops = await LoopFixture.create();
    image = loops.path('image');
    await makeDamagedExt4(image);
  });
  afterEach(async () => {
    await loops.close();
    await fixture.close();
  });

  /** Everything behind the first 8 MiB can no more be read: among it the journal. */
  async function fail(loop: string): Promise<void> {
    await loops.run('truncate', '-s', '8M', image);
    await loops.run('blockdev', '--flushbufs', loop);
  }

  it('is found by a check and by a plan, and nothing is written', async () => {
    const device = await loops.loop(image);
    await fail(device);
    const before = await sha256(image);
    const checked = await fixture.check({ device });
    expect(checked).toMatchObject({ succeeded: false, reason: 'hardware_failing' });
    expect(checked.result.outcome).toBe('operational_error');
    await expect(fixture.plan({ device })).rejects.toMatchObject({ reason: 'hardware_failing' });
    expect(await sha256(image)).toBe(before);
  });

  it('after the plan stops the repair before its first write', async () => {
    const device = await loops.loop(image);
    const { plan } = await fixture.plan({ device });
    await fail(device);
    const before = await sha256(image);
    const trace: Partial<Trace> = {};
    await expect(fixture.apply(plan, {}, trace)).rejects.toMatchObject({
      reason: 'hardware_failing',
    });
    expect(trace.records?.some(({ type }) => type === 'step_saved')).toBe(false);
    expect(await sha256(image)).toBe(before);
  });

  it('during the repair stops it, and nothing more is written', async () => {
    const device = await loops.loop(image);
    const { plan } = await fixture.plan({ device });
    const trace: Partial<Trace> = {};
    const onStep = async (step: string) => {
      if (step === 'repair') await fail(device);
    };
    const done = fixture.apply(plan, { onStep }, trace);
    await expect(done).rejects.toMatchObject({ reason: 'hardware_failing' });
    await expect(done).rejects.toThrow('nothing more is written');
    expect(trace.commands!.filter(([program]) => program === 'e2fsck').at(-1)).toContain('-fy');
  });
});

describe('a job that is told to stop', () => {
  it('gives up while it copies and leaves no copy behind', async () => {
    const fixture = await ActionFixture.create();
    try {
      const device = fixture.path('disk');
      await makeDamagedExt4(device);
      const before = await sha256(device);
      const stop = new AbortController();
      const onStart = (argv: readonly string[]) => {
        if (argv.includes('e2image')) stop.abort();
        return argv;
      };
      const planned = fixture.plan({ device }, { signal: stop.signal, onStart });
      await expect(planned).rejects.toMatchObject({ reason: 'stopped' });
      const [job] = await readdir(fixture.path('jobs'));
      expect(await readdir(join(fixture.path('jobs'), job!, 'scratch'))).toEqual([]);
      expect(await sha256(device)).toBe(before);
    } finally {
      await fixture.close();
    }
  });
});
