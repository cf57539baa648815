import { execFileSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  debugfs,
  leaveInJournal,
  makeDamagedExt4,
  makeExt4,
} from '../../../../test/fixtures/damaged-ext4.ts';
import { planBytes } from '../../../runner/make-plan.ts';
import { ActionFixture } from '../testing/action-fixture.ts';
import { patchFile, sha256 } from '../testing/image-bytes.ts';
import { makeManyProblems, MANY } from '../testing/many-problems.ts';

describe('the plan of a repair', { timeout: 120_000 }, () => {
  let fixture: ActionFixture;
  let device: string;
  beforeEach(async () => {
    fixture = await ActionFixture.create();
    device = fixture.path('disk');
  });
  afterEach(() => fixture.close());

  /** Plans twice: the same bytes each time, none changed on the device, nothing left behind. */
  async function plan(parameters = {}) {
    const before = await sha256(device);
    const first = await fixture.plan({ device, ...parameters });
    const second = await fixture.plan({ device, ...parameters });
    expect(planBytes(second.plan).equals(planBytes(first.plan))).toBe(true);
    expect(await sha256(device)).toBe(before);
    expect(await readdir(join(first.directory, 'scratch'))).toEqual([]);
    return first;
  }

  it('of a clean file system has no steps', async () => {
    await makeExt4(device);
    const { plan: made } = await plan();
    expect(made).toMatchObject({ steps: [], findings: [] });
    expect(made.summary).toBe(`Nothing to do: the ext4 file system on ${device} is clean.`);
    expect(made.preconditions[0]?.digest).toMatch(/^sha256:/);
  });

  it('shows what the rehearsal did: what is lost first, then each problem', async () => {
    await makeDamagedExt4(device);
    const { plan: made, log } = await plan();
    expect(made.summary).toBe(
      `Repair the ext4 file system on ${device}: 16 problems, 13 blocks overwritten. Afterwards it is clean, as the rehearsal showed.`,
    );
    expect(made.findings.slice(0, 5)).toEqual([
      'The journal holds changes that are not written to their places yet.',
      '2 files, folders or entries would be removed because nothing usable is left.',
      '3 files or folders (inodes 19, 21, 22) would be hooked into lost+found.',
      'Rehearsed on a copy of the metadata, in which e2fsck sees what it sees on the device.',
      "e2fsck: Entry 'shop' in /srv (13) has deleted/unused inode 14. Clear? yes",
    ]);
    expect(log).toContain('Unattached inode 22');
  });

  it('saves, repairs and verifies, with the commands as they will run', async () => {
    await makeDamagedExt4(device);
    const { plan: made } = await plan({ backupDirectory: fixture.folder });
    const folder = join(fixture.folder, 'intervene-JOB');
    expect(made.steps.map(({ id, interrupt }) => [id, interrupt])).toEqual([
      ['save', 'now'],
      ['repair', 'finish'],
      ['verify', 'now'],
    ]);
    expect(made.steps.map(({ changes }) => changes)).toEqual([
      [{ type: 'command', argv: ['e2image', '-Q', device, join(folder, 'metadata.qcow2')] }],
      [
        {
          type: 'command',
          argv: ['e2fsck', '-fy', '-C', '3', '-z', join(folder, 'e2fsck.undo'), device],
        },
      ],
      [{ type: 'command', argv: ['e2fsck', '-fn', '-C', '3', device] }],
    ]);
    expect(made.steps.every(({ undo }) => undo.possible)).toBe(true);
    expect(made.steps[1]?.backup).toMatchObject({ bytes: 13 * 1024, where: folder });
    expect(made.steps[1]?.interruptBoundSeconds).toBeGreaterThanOrEqual(60);
  });

  it('of a file system whose journal only waits to be replayed replays it', async () => {
    await makeExt4(device);
    await leaveInJournal(device, '/etc');
    const { plan: made } = await plan();
    expect(made.steps).toHaveLength(3);
    expect(made.summary).toContain('bring it in order');
  });

  it('of a file system with recorded errors clears them, and names the disk', async () => {
    await makeExt4(device);
    await debugfs(device, ['ssv error_count 1', 'ssv state 3']);
    const { plan: made } = await plan();
    expect(made.steps).toHaveLength(3);
    expect(made.findings[0]).toContain('recorded 1 error here: look at the health of the disk');
  });

  it('of a lost superblock goes by a copy of it in every command', async () => {
    await makeExt4(device);
    await patchFile(device, 1024, Buffer.alloc(1024));
    const { plan: made } = await plan();
    expect(made.target['superblock']).toEqual({ block: 8193, blockSize: 1024 });
    const commands = made.steps.flatMap(({ changes }) => changes);
    expect(JSON.stringify(commands[0])).toContain('"-b","8193","-B","1024"');
    expect(JSON.stringify(commands[1])).toContain('"-b","8193","-B","1024"');
    expect(JSON.stringify(commands[2])).not.toContain('"-b"');
  });

  it('of a lost group table goes by the copy of it too', async () => {
    await makeExt4(device);
    await patchFile(device, 2048, Buffer.alloc(1024, 0x9c));
    const { plan: made } = await plan();
    expect(made.target['superblock']).toEqual({ block: 8193, blockSize: 1024 });
    expect(made.summary).toContain('Afterwards it is clean');
  });

  it('that no copy of the metadata can show is rehearsed on a copy of everything', async () => {
    // One group, so that there is no second group table; e2image complains for ever about the first.
    await makeExt4(device, { blockSize: 4096 });
    await patchFile(device, 4096, Buffer.alloc(32, 0x9c));
    const { plan: made, notes } = await plan();
    expect(made.target['copied']).toBe('whole');
    expect(made.preconditions).toEqual([
      { what: 'all bytes of the device', digest: `sha256:${await sha256(device)}` },
    ]);
    expect(notes.join()).toContain('The whole device is copied instead.');
    expect(made.findings).toContain('Rehearsed on a copy of the whole device.');
  });

  it('of very many problems stays small, and says how many there are', async () => {
    await makeManyProblems(device);
    const { plan: made } = await plan();
    expect(planBytes(made).length).toBeLessThan(64 * 1024);
    expect(made.findings.length).toBeLessThanOrEqual(200);
    expect(made.findings[0]).toContain(`${MANY} files, folders or entries would be removed`);
    const kept = made.findings.length - 1;
    const [, more] = /And (\d+) more/.exec(made.findings.at(-1)!)!;
    expect(kept + Number(more)).toBeGreaterThan(MANY);
  });

  it('says so where errors would be left', async () => {
    await makeDamagedExt4(device);
    // Something e2fsck does not see on its first way through: here, what is damaged behind its back.
    const onEnd = (argv: readonly string[]) => {
      if (!argv.includes('-fy')) return;
      const [job] = readdirSync(fixture.path('jobs'));
      const copy = join(fixture.path('jobs'), job!, 'scratch', 'copy');
      execFileSync('debugfs', ['-w', '-R', 'clri /home/anna/notes', copy], { stdio: 'ignore' });
    };
    const { plan: made } = await fixture.plan({ device }, { onEnd });
    expect(made.summary).toContain('Errors would be left, as the rehearsal showed.');
    expect(made.findings).toContain(
      'Errors would be left: a second check after this repair still finds some.',
    );
  });

  it('is not made where its backups could not be kept', async () => {
    await makeDamagedExt4(device);
    const before = await sha256(device);
    const nowhere = fixture.plan({ device, backupDirectory: fixture.path('nowhere') });
    await expect(nowhere).rejects.toMatchObject({ reason: 'no_backup_space' });
    await expect(stat(fixture.path('nowhere'))).rejects.toMatchObject({ code: 'ENOENT' });
    expect(await sha256(device)).toBe(before);
  });
});
