import { readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { CommandStartError } from '../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { openFolderOf } from '../files/file-state.ts';
import { giveLabel, usesLabels, type Labelling } from '../files/security-label.ts';
import { withOpened } from '../files/with-opened.ts';

/** What is saved and put back as a whole: everything a repair writes lies in it. */
const FOLDER = '/boot';
/** An empty folder in /boot while an undo is under way: what lies around it is a mixture then. */
export const UNDO_FOLDER = '.intervene-undo';
/** Of /boot, but no matter of a repair: other file systems, and what belongs to a file system itself. */
const LEFT_ALONE = new Set(['efi', 'lost+found', UNDO_FOLDER]);

type Running = Pick<ActionContext, 'run'>;
type Seen = Pick<Target, 'root'>;

/** Lines such as `user.name=0x31` of each file and folder below /boot that has any, by its path there. */
export type BootAttributes = ReadonlyMap<string, string>;

/** Where /boot of the target really lies; it never leads out of it. */
export async function bootPath({ root }: Seen): Promise<string> {
  const folder = await root.openFolder(FOLDER);
  await folder.close();
  return join(root.path, folder.path);
}

/** All names in /boot that are saved and put back, sorted. */
export async function namesInBoot(target: Seen): Promise<string[]> {
  const names = await readdir(await bootPath(target));
  return names.filter((name) => !LEFT_ALONE.has(name)).toSorted();
}

/**
 * Extended attributes, with access control lists and labels among them; null where getfattr(1) is not
 * installed, so that nobody knows. Throws ActionError `not_saved` where they cannot all be read.
 */
export async function readBootAttributes(
  context: Running,
  target: Seen,
): Promise<BootAttributes | null> {
  const how = ['--dump', '--match=-', '--encoding=hex'];
  const where = ['--recursive', '--physical', '--no-dereference', '.'];
  const directory = await bootPath(target);
  const options = { output: 'capture', directory } as const;
  const done = await context.run(['getfattr', ...how, ...where], options).catch(ignoreNotFound);
  if (done === null) return null;
  if (done.exitStatus !== 0 || done.truncated) {
    const why = done.truncated ? 'there are more than ever are' : done.err.trim().slice(0, 500);
    throw new ActionError('not_saved', `the attributes of what is in /boot: ${why}`);
  }
  const found = new Map<string, string>();
  for (const block of done.out.split('\n\n')) {
    const [head, ...lines] = block.trim().split('\n');
    const path = head!.replace(/^# file: /, '').replaceAll(/\\(\d{3})/g, fromOctal);
    if (lines.length === 0 || path === '.' || LEFT_ALONE.has(topName(path))) continue;
    found.set(path, lines.toSorted().join('\n'));
  }
  return found;
}

/** Of a path below /boot. */
export const topName = (path: string) => path.split('/')[0]!;

/**
 * Runs what makes files in /boot anew, by programs that know nothing of attributes: what has the same name
 * afterwards has the attributes that it had, and what is new gets its label. Throws ActionError
 * `label_not_set` before anything is run where the target uses labels and nobody here can set them.
 */
export async function withAttributesKept(
  context: Labelling,
  target: Seen,
  body: () => Promise<void>,
): Promise<void> {
  const before = await readBootAttributes(context, target);
  if (before === null && (await usesLabels(target.root))) {
    const why = 'the target uses SELinux, and getfattr and setfattr (package attr) are not there';
    throw new ActionError('label_not_set', why);
  }
  const names = new Set((await entriesOf(target)).map(({ path }) => path));
  await body();
  if (before === null) return;
  const now = await readBootAttributes(context, target);
  // Folders come before what lies in them, which takes their label.
  for (const { path, kind } of await entriesOf(target)) {
    const own = before.get(path);
    if (own !== undefined && own !== now?.get(path)) await giveBack(context, target, path, own);
    if (!names.has(path)) await labelNew(context, target, path, kind);
  }
}

interface BootEntry {
  path: string;
  kind: 'file' | 'dir';
}

async function entriesOf(target: Seen): Promise<BootEntry[]> {
  const boot = await bootPath(target);
  const found: BootEntry[] = [];
  for (const entry of await readdir(boot, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() && !entry.isDirectory()) continue;
    const path = relative(boot, join(entry.parentPath, entry.name));
    if (LEFT_ALONE.has(topName(path))) continue;
    found.push({ path, kind: entry.isFile() ? 'file' : 'dir' });
  }
  return found.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

async function giveBack(
  context: Running,
  { root }: Seen,
  path: string,
  lines: string,
): Promise<void> {
  await withOpened(root, `${FOLDER}/${path}`, undefined, async (handle) => {
    const done = await context.run(['setfattr', '--restore=-'], {
      output: 'capture',
      input: `# file: /proc/self/fd/3\n${lines}\n`,
      descriptors: [handle.fd],
    });
    if (done.exitStatus === 0) return;
    throw new ActionError('not_written', `attributes of ${path}: ${done.err.trim().slice(0, 500)}`);
  });
}

async function labelNew(
  context: Labelling,
  { root }: Seen,
  below: string,
  kind: BootEntry['kind'],
): Promise<void> {
  const path = `${FOLDER}/${below}`;
  const folder = await openFolderOf(root, path);
  if (folder === null) return;
  try {
    await withOpened(root, path, undefined, (handle) =>
      giveLabel(context, root, folder, handle.fd, { path, kind }),
    );
  } finally {
    await folder.close();
  }
}

const fromOctal = (_: string, digits: string) => String.fromCharCode(Number.parseInt(digits, 8));

function ignoreNotFound(error: unknown): null {
  if (error instanceof CommandStartError && error.failure === 'not_found') return null;
  throw error;
}
