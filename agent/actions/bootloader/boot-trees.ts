import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { lstat, readdir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { bootPath, namesInBoot, readBootAttributes, topName } from './boot-attributes.ts';

/** What a name in /boot is, with everything below it. */
export interface BootTree {
  name: string;
  /** Over every name, mode, owner and content. */
  digest: string;
  /** Over all extended attributes; undefined where nobody could read them. */
  attributes?: string | undefined;
}

export async function treesInBoot(
  context: Pick<ActionContext, 'run'>,
  target: Pick<Target, 'root'>,
): Promise<BootTree[]> {
  const boot = await bootPath(target);
  const attributes = await readBootAttributes(context, target);
  const trees: BootTree[] = [];
  for (const name of await namesInBoot(target)) {
    const digest = await treeDigest(boot, name);
    if (attributes === null) {
      trees.push({ name, digest });
      continue;
    }
    const own = [...attributes].filter(([path]) => topName(path) === name);
    const lines = own.map((one) => one.join('\n')).toSorted();
    const hash = createHash('sha256').update(JSON.stringify(lines));
    trees.push({ name, digest, attributes: `sha256:${hash.digest('hex')}` });
  }
  return trees;
}

/** What nobody could read the attributes of is never known to be the same. */
export function isSameTree(now: BootTree | undefined, saved: BootTree): boolean {
  return saved.attributes !== undefined && isAsSaved(now, saved) && now?.attributes !== undefined;
}

/** As far as anybody can tell. */
export function isAsSaved(now: BootTree | undefined, { digest, attributes }: BootTree): boolean {
  if (now?.digest !== digest) return false;
  return [now.attributes, attributes].includes(undefined) || now.attributes === attributes;
}

async function treeDigest(folder: string, named: string): Promise<string> {
  const hash = createHash('sha256');
  const add = async (name: string): Promise<void> => {
    const path = join(folder, name);
    const { mode, uid, gid } = await lstat(path);
    hash.update(`\0${name}\0${mode}\0${uid}\0${gid}\0`);
    const kind = mode & constants.S_IFMT;
    if (kind === constants.S_IFLNK) hash.update(await readlink(path));
    if (kind === constants.S_IFREG) {
      for await (const piece of createReadStream(path)) hash.update(piece as Buffer);
    }
    if (kind !== constants.S_IFDIR) return;
    for (const below of (await readdir(path)).toSorted()) await add(`${name}/${below}`);
  };
  await add(named);
  return `sha256:${hash.digest('hex')}`;
}
