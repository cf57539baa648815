import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** What `pty.node` of node-pty 1.1 offers on Linux, of which this is used. */
export interface PtyBinding {
  /**
   * Starts a program on a new pseudo-terminal, in a session of its own.
   *
   * @param environment words such as `TERM=xterm`
   * @param uid and `gid`: -1 leaves them
   */
  fork(
    file: string,
    argv: string[],
    environment: string[],
    directory: string,
    columns: number,
    rows: number,
    uid: number,
    gid: number,
    utf8: boolean,
    helper: string,
    onExit: (status: number, signal: number) => void,
  ): { fd: number; pid: number; pty: string };
  resize(fd: number, columns: number, rows: number): void;
}

let binding: PtyBinding | null = null;

/**
 * The native part of node-pty alone: its JavaScript gives a program 200 ms to be read after it has ended,
 * which loses what a slow reader has not read yet. Throws where it cannot be loaded.
 */
export function loadPtyBinding(): PtyBinding {
  if (binding === null) {
    const module = { exports: {} };
    process.dlopen(module, locatePtyBinding());
    binding = module.exports as PtyBinding;
  }
  return binding;
}

/** Beside the program when it is bundled, in its package when it runs from source. */
function locatePtyBinding(): string {
  const self = fileURLToPath(import.meta.url);
  if (!self.endsWith('.ts')) return join(dirname(self), 'pty.node');
  const require = createRequire(import.meta.url);
  return require.resolve(`@lydell/node-pty-${process.platform}-${process.arch}/pty.node`);
}
