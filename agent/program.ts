import path from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the program lies that runs now. */
export interface ProgramPlaces {
  /** Everything in it belongs to the program; no job may write there. */
  directory: string;
  /** What a runner is started with. */
  runnerEntry: string;
}

/** The same from source, where this is a TypeScript file, and bundled, where all files lie in one folder. */
export function locateProgram(self: string = fileURLToPath(import.meta.url)): ProgramPlaces {
  const folder = path.dirname(self);
  if (self.endsWith('.ts')) {
    return { directory: path.dirname(folder), runnerEntry: path.join(folder, 'runner/main.ts') };
  }
  return { directory: folder, runnerEntry: path.join(folder, 'runner.mjs') };
}
