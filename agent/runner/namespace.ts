import { readdirSync, readFileSync } from 'node:fs';

/** Signals everything in the runner's pid namespace but the runner itself. */
export function signalNamespace(signal: NodeJS.Signals): void {
  // Anywhere but as process 1 of a namespace this would reach the whole machine (kill(2)).
  if (process.pid !== 1) throw new Error('not process 1 of a namespace');
  try {
    process.kill(-1, signal);
  } catch {
    // ESRCH: nobody is left.
  }
}

/** Names of the programs that still run in the runner's pid namespace. */
export function namespacePrograms(): string[] {
  if (!hasOthers()) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .map(programName)
    .filter((name) => name !== null);
}

function hasOthers(): boolean {
  try {
    return process.kill(-1, 0);
  } catch {
    return false;
  }
}

/** Null for a process that has ended; nobody reaps orphans here, and they need nothing. */
function programName(pid: string): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    const end = stat.lastIndexOf(')');
    const isDead = stat.startsWith(' Z', end + 1) || stat.startsWith(' X', end + 1);
    return isDead ? null : stat.slice(stat.indexOf('(') + 1, end);
  } catch {
    return null;
  }
}
