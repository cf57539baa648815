import { ActionError } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { initramfsOf } from './boot-menu.ts';
import { initramfsFault } from './initramfs-archive.ts';

/** A machine that is emulated, or in trouble, takes minutes for what takes another a second. */
const LOOK_WITHIN_MS = 10 * 60_000;
/** Shorter than any that finds a root file system. */
const INITRAMFS_MIN_BYTES = 1024 * 1024;
const INITRAMFS_MAX_BYTES = 512 * 1024 * 1024;
/** Of initramfs-tools; a system whose initramfs is made by dracut has none. */
const LISTER = '/usr/bin/lsinitramfs';

/** What opens each layer that a root may lie on. */
const OPENERS: readonly [layer: RegExp, program: RegExp][] = [
  [/^LVM$/, /\bsbin\/lvm$/m],
  [/^RAID\d+ /, /\bsbin\/mdadm$/m],
  [/^LUKS$/, /\bsbin\/cryptsetup$/m],
];

/**
 * lsinitramfs ends with 0 whatever it finds: its words and its list tell (initramfs-tools). Where the system has
 * none, one that its kernel can unpack counts as whole. Throws ActionError
 * `look_timed_out`: one that was not read to its end is not for that reason broken.
 */
export async function isInitramfsWhole(
  { files, layout, runInside }: Target,
  version: string,
): Promise<boolean> {
  const path = initramfsOf(version);
  const found = await files.stat(path).catch(() => null);
  if (found === null || !found.isFile() || found.size < INITRAMFS_MIN_BYTES) return false;
  if ((await files.stat(LISTER)) === null) {
    const bytes = await files.readBytes(path, INITRAMFS_MAX_BYTES);
    return bytes === null || (await initramfsFault(bytes)) === null;
  }
  const listed = await runInside(['lsinitramfs', path], {
    output: 'capture',
    readOnly: true,
    timeoutMs: LOOK_WITHIN_MS,
  });
  if (listed.timedOut) {
    const minutes = LOOK_WITHIN_MS / 60_000;
    throw new ActionError(
      'look_timed_out',
      `${path} was not read within ${minutes} minutes, so nothing is known of it; try again when the machine has less to do`,
    );
  }
  if (listed.exitStatus !== 0 || /premature|error|cannot|not found|corrupt/i.test(listed.err)) {
    return false;
  }
  if (!/^(?:\.\/)?(?:init|scripts\/|usr\/|bin)/m.test(listed.out)) return false;
  const { layers = [] } = layout?.system.root ?? {};
  const openers = OPENERS.filter(([layer]) => layers.some((one) => layer.test(one)));
  if (!openers.every(([, program]) => program.test(listed.out))) return false;
  const builtIn = await files.read(`/lib/modules/${version}/modules.builtin`).catch(() => null);
  const driver = layout?.system.root.type;
  // Without the driver of its root the kernel finds none.
  const pattern = new RegExp(`/${driver}\\.ko(?:\\.\\w+)?$`, 'm');
  return driver === undefined || pattern.test(listed.out) || pattern.test(builtIn ?? '');
}
