import { readdirSync, readFileSync } from 'node:fs';

/** Memory of a process in MB: resident, of that its own (not a file it shares), and the most there ever was. */
export interface Memory {
  resident: number;
  own: number;
  most: number;
}

const KB_PER_MB = 1000 / 1.024;

export function memoryOf(pid: number): Memory {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const field = (text: string, name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(text)![1]) / KB_PER_MB;
  return {
    resident: field(rollup, 'Rss'),
    own: field(rollup, 'Anonymous'),
    most: field(status, 'VmHWM'),
  };
}

/** Processes whose command line holds all of these words. */
export function findProcesses(...words: string[]): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      try {
        const text = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return words.every((word) => text.includes(word));
      } catch {
        return false;
      }
    });
}
