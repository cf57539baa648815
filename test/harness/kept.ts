import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

/** Where what takes long to build is kept between test runs; removing it costs the next run some minutes. */
const FOLDER = '/var/cache/intervene-tests';

/**
 * The place of something that is built once per machine: a tree or an image. `recipe` is all that decides
 * what comes out; another recipe is another thing. One process builds, others wait for it; what a killed
 * one left half-built is never taken for the whole. Users must not change what they get, but copy it.
 */
export async function kept(
  name: string,
  recipe: readonly string[],
  build: (draft: string) => Promise<void>,
): Promise<string> {
  const key = createHash('sha256').update(recipe.join('\n')).digest('hex').slice(0, 16);
  const place = path.join(FOLDER, `${name}-${key}`);
  if (existsSync(place)) return place;
  mkdirSync(FOLDER, { recursive: true });
  const unlock = await lock(`${place}.lock`);
  try {
    if (existsSync(place)) return place;
    const draft = `${place}.draft`;
    rmSync(draft, { recursive: true, force: true });
    await build(draft);
    renameSync(draft, place);
    return place;
  } finally {
    await unlock();
  }
}

/** A lock between processes that ends with the one that holds it, however that ends. */
async function lock(file: string): Promise<() => Promise<void>> {
  const holder = spawn('flock', [file, 'sh', '-c', 'echo locked; exec cat'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(holder, 'exit');
  await Promise.race([
    once(holder.stdout, 'data'),
    ended.then(([status]) => Promise.reject(new Error(`flock ended with ${status}: ${file}`))),
  ]);
  return async () => {
    holder.stdin.end();
    await ended;
  };
}
