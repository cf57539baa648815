import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { must, run } from '../../../test/harness/process.ts';
import { CommandStartError } from '../../process/command-start-error.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { makeDiskImage, withMountedPartition } from '../../target/testing/disk-image.ts';
import type { BootState } from './inspect-boot.ts';
import {
  noteBootAfter,
  regionsOf,
  requireBootUnchanged,
  restoreBoot,
  saveBoot,
  savedDigest,
} from './saved-boot.ts';

const LIMIT_MS = 120_000;
const MIB = 1024 * 1024;
const WINDOW = { offset: MIB, bytes: 32 * MIB };

const context = {
  signal: new AbortController().signal,
  async run(argv, { input, directory } = {}) {
    const {
      status,
      stdout: out,
      stderr: err,
    } = await run([...argv], {
      input: input?.toString() ?? '',
      ...(directory !== undefined && { cwd: directory }),
    });
    return { exitStatus: status, signal: null, timedOut: false, out, err, truncated: false };
  },
} as Partial<ActionContext> as ActionContext;

/** As on a machine where the package attr is not installed. */
const withoutAttributeTools: ActionContext['run'] = (argv, options) =>
  argv[0] === 'getfattr'
    ? Promise.reject(new CommandStartError('not_found', 'getfattr'))
    : context.run(argv, options);

let folder: string;
let image: string;
beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'iv-saved-'));
  image = join(folder, 'disk.img');
  await makeDiskImage(image, 'dos', [{ mebibytes: 32, format: 'ext4' }]);
  mkdirSync(join(folder, 'saved'));
}, LIMIT_MS);
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A target that has nothing but /boot, a file system of its own, on a disk whose start is saved with it. */
async function withBoot(
  body: (boot: string, target: Target, save: () => Promise<unknown>) => Promise<void>,
): Promise<void> {
  await withMountedPartition(image, WINDOW, async (point) => {
    mkdirSync(join(point, 'boot'));
    const disk = { given: image, loop: image, loopName: '', device: { bytes: 33 * MIB } };
    const layout = { volumes: [], disks: [disk] };
    const target = { root: new TargetRoot(point), layout } as unknown as Target;
    const state = { disks: [disk], layout } as unknown as BootState;
    const save = () => saveBoot(context, target, state, join(folder, 'saved'));
    await body(join(point, 'boot'), target, save);
  });
}

const saved = () => join(folder, 'saved');

describe('what was saved of /boot', () => {
  it(
    'comes back into a /boot that is nearly full, and what is the same stays as it is',
    () =>
      withBoot(async (boot, target, save) => {
        writeFileSync(join(boot, 'initrd.img'), Buffer.alloc(16 * MIB, 1));
        writeFileSync(join(boot, 'vmlinuz'), Buffer.alloc(2 * MIB, 2));
        mkdirSync(join(boot, 'grub'));
        writeFileSync(join(boot, 'grub/grub.cfg'), 'old');
        await save();
        writeFileSync(join(boot, 'initrd.img'), Buffer.alloc(17 * MIB, 3));
        writeFileSync(join(boot, 'grub/grub.cfg'), 'new');
        writeFileSync(join(boot, 'made'), 'by the repair');
        const names = () => readdirSync(boot).toSorted();
        await restoreBoot(context, target, saved());
        expect(names()).toEqual(['grub', 'initrd.img', 'vmlinuz']);
        expect(readFileSync(join(boot, 'grub/grub.cfg'), 'utf8')).toBe('old');
        expect(readFileSync(join(boot, 'initrd.img')).equals(Buffer.alloc(16 * MIB, 1))).toBe(true);
      }),
    LIMIT_MS,
  );

  it(
    'takes nothing along that the repair has not made, whatever it is called and however much it is',
    () =>
      withBoot(async (boot, target, save) => {
        mkdirSync(join(boot, 'lost+found.old'));
        writeFileSync(join(boot, 'lost+found.old/keep'), 'kept');
        for (let at = 0; at < 4200; at++) writeFileSync(join(boot, `z${at}`), '');
        writeFileSync(join(boot, 'grub.cfg'), 'old');
        await save();
        writeFileSync(join(boot, 'grub.cfg'), 'new');
        await noteBootAfter(context, target, saved());
        await requireBootUnchanged(context, target, saved());
        await restoreBoot(context, target, saved());
        expect(readFileSync(join(boot, 'lost+found.old/keep'), 'utf8')).toBe('kept');
        expect(readFileSync(join(boot, 'grub.cfg'), 'utf8')).toBe('old');
        expect(readdirSync(boot)).toHaveLength(4202);
        writeFileSync(join(boot, 'lost+found.old/keep'), 'changed');
        await expect(requireBootUnchanged(context, target, saved())).rejects.toMatchObject({
          reason: 'changed_since',
        });
      }),
    LIMIT_MS,
  );

  it(
    'comes back with attributes that the repair took or gave, also where the content is the same',
    () =>
      withBoot(async (boot, target, save) => {
        const menu = join(boot, 'grub.cfg');
        writeFileSync(menu, 'menu');
        writeFileSync(join(boot, 'vmlinuz'), 'kernel');
        const label = 'system_u:object_r:boot_t:s0';
        await must(['setfattr', '--name', 'security.selinux', '--value', label, menu]);
        const attributes = () => must(['getfattr', '--dump', '--match=-', '-R', boot]);
        const before = await attributes();
        await save();
        rmSync(menu);
        writeFileSync(menu, 'menu');
        await must(['setfattr', '--name', 'user.made', join(boot, 'vmlinuz')]);
        await noteBootAfter(context, target, saved());
        await requireBootUnchanged(context, target, saved());
        await must(['setfattr', '--name', 'user.since', menu]);
        await expect(requireBootUnchanged(context, target, saved())).rejects.toMatchObject({
          reason: 'changed_since',
        });
        await restoreBoot(context, target, saved());
        expect(await attributes()).toBe(before);
      }),
    LIMIT_MS,
  );

  it(
    'comes back with its attributes where nobody can read them, and is not said to be back without them',
    () =>
      withBoot(async (boot, target, save) => {
        const blind = { ...context, run: withoutAttributeTools } as ActionContext;
        const menu = join(boot, 'grub.cfg');
        const state = { disks: target.layout!.disks, layout: target.layout } as BootState;
        writeFileSync(menu, 'menu');
        await must(['setfattr', '--name', 'user.keep', '--value', 'yes', menu]);
        await saveBoot(blind, target, state, saved());
        rmSync(menu);
        writeFileSync(menu, 'menu');
        await noteBootAfter(blind, target, saved());
        await requireBootUnchanged(context, target, saved());
        await restoreBoot(blind, target, saved());
        expect(await must(['getfattr', '--only-values', '-n', 'user.keep', menu])).toBe('yes');
        rmSync(saved(), { recursive: true });
        mkdirSync(saved());
        await save();
        await noteBootAfter(context, target, saved());
        await expect(requireBootUnchanged(blind, target, saved())).rejects.toMatchObject({
          reason: 'tool_missing',
        });
        const unable: ActionContext['run'] = async (argv, options) => {
          const done = await context.run(argv, options);
          const err = "tar: setxattrat: Cannot set 'user.keep' extended attribute for file";
          return argv[0] === 'tar' ? { ...done, err } : done;
        };
        writeFileSync(menu, 'new');
        await expect(
          restoreBoot({ ...context, run: unable } as ActionContext, target, saved()),
        ).rejects.toMatchObject({ reason: 'not_written' });
      }),
    LIMIT_MS,
  );

  it(
    'is looked at before anything is removed',
    () =>
      withBoot(async (boot, target, save) => {
        writeFileSync(join(boot, 'vmlinuz'), 'old');
        await save();
        writeFileSync(join(boot, 'vmlinuz'), 'new');
        writeFileSync(join(saved(), 'boot.tar'), 'damaged');
        await expect(restoreBoot(context, target, saved())).rejects.toMatchObject({
          reason: 'backup_damaged',
        });
        expect(readdirSync(boot)).toEqual(['vmlinuz']);
        expect(readFileSync(join(boot, 'vmlinuz'), 'utf8')).toBe('new');
      }),
    LIMIT_MS,
  );

  it(
    'never takes a stretch of a file system for the gap before it, and is told from another by its digest',
    () =>
      withBoot(async (boot, target) => {
        const disk = { given: image, loop: image, loopName: '', device: { bytes: 33 * MIB } };
        const volume = { disk: image, layers: [], partition: null, startBytes: 0, bytes: 33 * MIB };
        const state = (volumes: unknown[]) =>
          ({ disks: [disk], layout: { volumes, disks: [disk] } }) as unknown as BootState;
        expect(regionsOf(state([volume]))).toEqual([{ disk: image, offset: 0, bytes: 0 }]);
        const digest = () => savedDigest(context, target, state([]));
        writeFileSync(join(boot, 'grub.cfg'), 'planned');
        const planned = await digest();
        expect(await digest()).toBe(planned);
        writeFileSync(join(boot, 'grub.cfg'), 'changed');
        expect(await digest()).not.toBe(planned);
      }),
    LIMIT_MS,
  );
});
