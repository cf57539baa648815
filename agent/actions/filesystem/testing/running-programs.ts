import { readdir, readFile } from 'node:fs/promises';

/** Pids of running programs that have these words among theirs. */
export async function programsWith(...words: string[]): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      const given = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
      const has = words.every((word) => given.split('\0').includes(word));
      return has ? Number(pid) : null;
    }),
  );
  return found.filter((pid) => pid !== null);
}
