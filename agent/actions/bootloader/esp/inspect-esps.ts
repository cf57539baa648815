import type { ActionContext } from '../../../runner/action.ts';
import { parseFstab } from '../../../target/fstab-lines.ts';
import { volumeOf } from '../../../target/offline/mount-system.ts';
import type { Volume } from '../../../target/offline/volumes.ts';
import type { Target, TargetLayout } from '../../../target/open-target.ts';
import { isEsp } from '../boot-sectors.ts';
import { EspCopy, type EspFiles } from './esp-copy.ts';
import { isEfiProgram } from './efi-program.ts';
import {
  filesStarted,
  whyNoEntry,
  type EntryWish,
  type Firmware,
} from '../firmware/boot-entries.ts';
import { findLoaderFiles, type LoaderFile, type LoaderFiles } from './loader-files.ts';
import { stubFor, stubFault } from './stub.ts';

/** What a firmware starts that knows no entry of its own (UEFI Specification 2.10, 3.5.1.1). */
const REMOVABLE = 'BOOT';

export interface EspFault {
  rule: 'boot.esp_loader_missing' | 'boot.esp_stub' | 'boot.nvram_missing';
  text: string;
}

/** A file that an EFI partition is to get. */
export interface EspWrite {
  /** Below the root of the EFI partition: `EFI/debian/grub.cfg`. */
  path: string;
  bytes: Buffer;
  /** The file of the system that it is a copy of; null for the stub. */
  source: string | null;
  /** What the stub was, for people; null when there was none. */
  before: string | null;
}

export interface EspState {
  volume: Volume;
  /** What a path on it begins with for people: `/boot/efi/`. */
  place: string;
  /** Whether it has a folder of this system's loader. */
  hasVendor: boolean;
  faults: EspFault[];
  writes: EspWrite[];
  /** The entry that the firmware of this machine is to get for it; null for none. */
  entry: EntryWish | null;
  /** Why the firmware gets none for it, in words that go on from "since"; null where it has one or gets one. */
  whyNoEntry: string | null;
}

type Judged = Pick<EspState, 'faults' | 'writes' | 'entry' | 'whyNoEntry'>;

/**
 * What is wrong with the EFI partitions that start this system: those its fstab names, those with a folder of
 * its loader, else those on the disk of its root. A program that can be started is never written over, whoever
 * made it, unless `anew` asks for this system's own.
 *
 * Faults without writes are those for which the system has no files. Throws ActionError as `EspCopy.with`.
 */
export async function inspectEsps(
  context: ActionContext,
  target: Target,
  { anew, firmware }: { anew: boolean; firmware: Firmware },
): Promise<EspState[]> {
  const layout = target.layout!;
  const volumes = layout.volumes.filter(isEsp);
  if (volumes.length === 0) return [];
  await unmountEsps(target);
  const named = await namedByFstab(target, layout);
  const loader = await findLoaderFiles(target.files);
  const looked: EspState[] = [];
  for (const volume of volumes) {
    const mountPoint = named.get(volume);
    const place = mountPoint === undefined ? `${volume.name}: ` : `${mountPoint}/`;
    const mayHold = named.has(volume) || layout.otherSystems.length === 0;
    if (!mayHold && !isOnDiskOf(layout.system.root, volume)) continue;
    looked.push(
      await EspCopy.with(context, volume, async (copy) => {
        const files = await copy.files();
        const hasVendor = files.paths.some((path) => path.startsWith(`efi/${loader?.vendor}/`));
        const judged = await judge(target, volume, files, loader, anew, firmware);
        return { volume, place, hasVendor, ...judged };
      }),
    );
  }
  const own = looked.filter(({ volume, hasVendor }) => named.has(volume) || hasVendor);
  const onDisk = looked.filter(({ volume }) => isOnDiskOf(layout.system.root, volume));
  return own.length > 0 ? own : onDisk;
}

/** Whether something is wrong that the system has no files to mend with. */
export function isWithoutFiles({ faults, writes, entry }: EspState): boolean {
  return faults.length > 0 && writes.length === 0 && entry === null;
}

const isOnDiskOf = ({ disks }: Volume, esp: Volume) => disks.some((disk) => disk === esp.disk);

/** Mounted, a partition is the kernel's; it is read and written here as a whole. */
export async function unmountEsps({
  root,
  layout,
}: Pick<Target, 'root' | 'layout'>): Promise<void> {
  if (layout === null) return;
  for (const part of layout.parts.filter(({ volume }) => isEsp(volume))) {
    await layout.mounts.unmount(`${root.path}${part.mountPoint}`);
    layout.parts.splice(layout.parts.indexOf(part), 1);
  }
}

async function namedByFstab(
  { files }: Target,
  { volumes }: TargetLayout,
): Promise<Map<Volume, string>> {
  const text = (await files.read('/etc/fstab').catch(() => null)) ?? '';
  const named = new Map<Volume, string>();
  for (const { source, mountPoint } of parseFstab(text).entries) {
    const volume = volumeOf(source, volumes);
    if (volume !== undefined && isEsp(volume)) named.set(volume, mountPoint);
  }
  return named;
}

async function judge(
  target: Target,
  volume: Volume,
  files: EspFiles,
  loader: LoaderFiles | null,
  anew: boolean,
  firmware: Firmware,
): Promise<Judged> {
  if (loader === null) return judgeWithoutFiles(volume, files);
  const faults: EspFault[] = [];
  const writes: EspWrite[] = [];
  const folder = `EFI/${loader.vendor}`;
  const copyOf = ({ source, bytes, name }: LoaderFile, into: string, as = name): EspWrite => ({
    path: `${into}/${as}`,
    bytes,
    source,
    before: null,
  });
  const programs = [loader.first, ...loader.beside];
  const lacking: LoaderFile[] = [];
  for (const file of programs) {
    if (!(await isProgram(files, `${folder}/${file.name}`))) lacking.push(file);
  }
  // Not every version of a loader had every program beside it.
  const needed = new Set(['shimx64.efi', 'grubx64.efi']);
  const missed = lacking.filter(({ name }) => needed.has(name));
  if (missed.length > 0) {
    const names = missed.map(({ name }) => `${folder}/${name}`).join(', ');
    const text = `${volume.name} lacks ${names}, or has it damaged.`;
    faults.push({ rule: 'boot.esp_loader_missing', text });
  }
  const wanted = anew ? programs : missed.length > 0 ? lacking : [];
  writes.push(...wanted.map((file) => copyOf(file, folder)));
  if (wanted.length > 0 && loader.entry !== null) {
    const isThere = files.digest(`${folder}/${loader.entry.name}`) !== null;
    if (!isThere || anew) writes.push(copyOf(loader.entry, folder));
  }
  await judgeStub(target, volume, files, folder, anew, { faults, writes });
  const entry = await judgeEntry(target, volume, files, loader, firmware);
  const removable = await judgeRemovable(volume, files, loader, anew, entry.isThere);
  writes.push(
    ...removable.files.map((file) =>
      copyOf(file, `EFI/${REMOVABLE}`, file === loader.first ? 'BOOTX64.EFI' : file.name),
    ),
  );
  const said = [entry.fault, removable.fault].filter((text) => text !== null);
  if (said.length > 0) faults.push({ rule: 'boot.nvram_missing', text: said.join(' ') });
  return { faults, writes, entry: entry.wish, whyNoEntry: entry.why };
}

/** Whether the firmware has an entry that starts this system's loader from a partition, as it will be. */
async function judgeEntry(
  { layout }: Target,
  volume: Volume,
  files: EspFiles,
  { vendor, first }: LoaderFiles,
  { boot, why }: Firmware,
): Promise<{
  isThere: boolean;
  fault: string | null;
  wish: EntryWish | null;
  why: string | null;
}> {
  const foreign = await whyNoEntry(layout!, volume);
  if (boot === null || foreign !== null) {
    return { isThere: false, fault: null, wish: null, why: foreign ?? why };
  }
  const folder = `efi/${vendor}`;
  const loaders = ['shimx64.efi', 'grubx64.efi'].map((name) => `${folder}/${name}`);
  for (const path of filesStarted(boot, volume)) {
    const willBe = path === `${folder}/${first.name}`;
    if (willBe || (loaders.includes(path) && (await isProgram(files, path)))) {
      return { isThere: true, fault: null, wish: null, why: null };
    }
  }
  if (why !== null) return { isThere: false, fault: null, wish: null, why };
  const wish = { volume, label: vendor, file: `EFI/${vendor}/${first.name}` };
  const text = `The firmware has no entry that starts ${wish.file} on ${volume.name}.`;
  return { isThere: false, fault: text, wish, why: null };
}

async function judgeStub(
  target: Target,
  volume: Volume,
  files: EspFiles,
  folder: string,
  anew: boolean,
  { faults, writes }: Pick<EspState, 'faults' | 'writes'>,
): Promise<void> {
  const path = `${folder}/grub.cfg`;
  const bytes = await files.read(path);
  const before = bytes?.toString('utf8') ?? null;
  const fault = stubFault(before, target.layout!.volumes);
  if (fault !== null) {
    faults.push({ rule: 'boot.esp_stub', text: `${path} on ${volume.name} ${fault}` });
  }
  if (fault === null && !anew) return;
  const after = stubFor(target.layout!);
  if (after === before) return;
  writes.push({ path, bytes: Buffer.from(after), source: null, before });
}

/** What starts the system where the firmware has no entry for it. */
async function judgeRemovable(
  volume: Volume,
  files: EspFiles,
  loader: LoaderFiles,
  anew: boolean,
  hasEntry: boolean,
): Promise<{ fault: string | null; files: LoaderFile[] }> {
  const folder = `EFI/${REMOVABLE}`;
  const first = await files.read(`${folder}/BOOTX64.EFI`);
  const isFree = first === null || !isEfiProgram(first);
  const isOwn = first?.equals(loader.first.bytes) === true;
  if (!isFree && !isOwn) return { fault: null, files: [] };
  const lacking: LoaderFile[] = [];
  for (const file of loader.beside) {
    if (!(await isProgram(files, `${folder}/${file.name}`))) lacking.push(file);
  }
  // shim starts fallback where there is one, else GRUB.
  const isStuck = isOwn && loader.beside.length > 0 && lacking.length === loader.beside.length;
  const text = isStuck
    ? `${folder} of ${volume.name} has shim, and nothing that it could start.`
    : `${folder} of ${volume.name} is empty: only an entry in the memory of the firmware could start this system.`;
  const isFault = isStuck || (isFree && !hasEntry);
  return {
    fault: isFault ? text : null,
    files: isFault || anew ? [...(isFree || anew ? [loader.first] : []), ...lacking] : [],
  };
}

async function isProgram(files: EspFiles, path: string): Promise<boolean> {
  const bytes = await files.read(path);
  return bytes !== null && isEfiProgram(bytes);
}

/** Another loader than GRUB may start it, of which nothing is known here. */
function judgeWithoutFiles(volume: Volume, files: EspFiles): Judged {
  const nothing = { writes: [], entry: null, whyNoEntry: null };
  if (files.paths.some((path) => path.startsWith('efi/') && path.endsWith('.efi'))) {
    return { faults: [], ...nothing };
  }
  const text = `${volume.name} has no program that a firmware could start.`;
  return { faults: [{ rule: 'boot.esp_loader_missing', text }], ...nothing };
}
