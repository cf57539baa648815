import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Surroundings } from '../surroundings.ts';

export interface Pager {
  write: (text: string) => Promise<void>;
  end: () => Promise<void>;
}

/**
 * Shows long text through the person's pager. Null where there is none. Leaving the pager before the end of
 * the text is no error.
 */
export function openPager(surroundings: Pick<Surroundings, 'pager'>): Pager | null {
  const [program, ...args] = surroundings.pager ?? [];
  if (program === undefined) return null;
  const child = spawn(program, args, { stdio: ['pipe', 'inherit', 'inherit'] });
  const exited = new Promise<void>((resolve) => {
    child.once('error', () => resolve());
    child.once('exit', () => resolve());
  });
  let isOpen = true;
  child.stdin.on('error', () => {
    isOpen = false;
  });
  void exited.then(() => {
    isOpen = false;
  });
  return {
    write: async (text) => {
      if (!isOpen || child.stdin.write(text)) return;
      await Promise.race([once(child.stdin, 'drain').catch(() => {}), exited]);
    },
    end: async () => {
      if (isOpen) child.stdin.end();
      await exited;
    },
  };
}
