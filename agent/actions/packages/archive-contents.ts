import { mkdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { ActionError, type ActionContext } from '../../runner/action.ts';
import { runDpkg } from './apt-session.ts';
import { LineReader } from './line-reader.ts';

export interface ArchiveContents {
  /** What unpacking writes, by folder. */
  bytesByFolder: Map<string, number>;
  units: string[];
  /** The archive's own programs around unpacking, joined. */
  scripts: string;
  conffiles: string[];
}

const SCRIPTS = ['preinst', 'postinst'];
const UNIT_FILE = /^\/(?:usr\/)?lib\/systemd\/system\/([^/]+\.(?:service|socket|timer))$/;
const INIT_SCRIPT = /^\/etc\/init\.d\/([^/]+)$/;

/** Looks into an archive without unpacking or running anything of it. */
export async function readArchive(
  context: ActionContext,
  path: string,
  scratch: string,
): Promise<ArchiveContents> {
  const bytesByFolder = new Map<string, number>();
  const files: string[] = [];
  const reader = new LineReader((line) => {
    const entry = readEntry(line);
    if (entry === null) return;
    const folder = entry.path.slice(0, entry.path.lastIndexOf('/')) || '/';
    bytesByFolder.set(folder, (bytesByFolder.get(folder) ?? 0) + entry.bytes);
    files.push(entry.path);
  });
  const listed = await runDpkg(context, ['dpkg-deb', '--contents', path], {
    output: 'capture',
    onOutput: (channel, bytes) => channel === 'out' && reader.take(bytes),
  });
  const control = join(scratch, 'control');
  await rm(control, { recursive: true, force: true });
  await mkdir(control);
  const extracted = await runDpkg(context, ['dpkg-deb', '--control', path, control], {
    output: 'capture',
  });
  if (listed.exitStatus !== 0 || extracted.exitStatus !== 0) {
    throw new ActionError('download_failed', `${path}: ${listed.err}${extracted.err}`);
  }
  const text = (name: string) => readFile(join(control, name), 'utf8').catch(() => '');
  const scripts = await Promise.all(SCRIPTS.map(text));
  const conffiles = (await text('conffiles')).split('\n').filter((line) => line.startsWith('/'));
  return { bytesByFolder, units: unitsOf(files), scripts: scripts.join('\n'), conffiles };
}

/** Names of the services among the files of a package. */
export function unitsOf(files: readonly string[]): string[] {
  const units = files.flatMap((file) => UNIT_FILE.exec(file)?.[1] ?? []);
  const scripts = files.flatMap((file) => {
    const name = INIT_SCRIPT.exec(file)?.[1];
    return name === undefined || units.includes(`${name}.service`) ? [] : [name];
  });
  return [...units, ...scripts].toSorted();
}

/** One line of `dpkg-deb --contents`, which is tar's: null for what takes no room. */
export function readEntry(line: string): { path: string; bytes: number } | null {
  const [, kind, bytes, path] =
    /^([-h])\S{9} \S+\s+(\d+) \d{4}-\d\d-\d\d \d\d:\d\d(?::\d\d)? \.?(\/.*)$/.exec(line) ?? [];
  if (path === undefined) return null;
  return { path: path.replace(/ link to .*$/, ''), bytes: kind === 'h' ? 0 : Number(bytes) };
}
