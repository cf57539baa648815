import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import path from 'node:path';

const root = path.dirname(import.meta.dirname);
const installed = path.join(root, `node_modules/node-linux-${process.arch}/bin/node`);

/** A file made once per version of Node; those of other versions are removed. */
function once(folder: string, extension: string, make: (file: string) => void): string {
  const version = createHash('sha256').update(readFileSync(installed)).digest('hex').slice(0, 16);
  const file = path.join(folder, `.node-${version}${extension}`);
  if (existsSync(file)) return file;
  const draft = `${file}.${process.pid}.new`;
  try {
    make(draft);
    renameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
  for (const name of readdirSync(folder)) {
    const isOld = name.startsWith('.node-') && !name.startsWith(`.node-${version}`);
    if (isOld) rmSync(path.join(folder, name));
  }
  return file;
}

/** Why nothing that carries a Node can be made here; null when it can. */
export function whatPackingLacks(): string | null {
  if (!existsSync(installed)) return `no Node for linux-${process.arch} in node_modules`;
  const tools = [
    ['strip', 'binutils'],
    ['xz', 'xz-utils'],
  ] as const;
  const missing = tools.filter(([tool]) => spawnSync(tool, ['--version']).error !== undefined);
  return missing.length === 0
    ? null
    : `apt-get install ${missing.map(([, from]) => from).join(' ')}`;
}

/**
 * The Node that the agent ships with, without the symbols that only a debugger reads, kept in `folder`. Throws
 * when binutils is missing or the result does not run.
 */
export function strippedNode(folder: string): string {
  return once(folder, '', (draft) => {
    cpSync(installed, draft);
    runTool('binutils', ['strip', '--strip-unneeded', draft]);
    runTool('node', [draft, '--version']);
  });
}

/** Something derived from the stripped Node, such as a compressed archive of it, made once. */
export function derivedFromNode(
  folder: string,
  extension: string,
  make: (node: Buffer) => Uint8Array,
  write: (file: string, content: Uint8Array) => void,
): Buffer {
  const node = strippedNode(folder);
  return readFileSync(once(folder, extension, (draft) => write(draft, make(readFileSync(node)))));
}

/** Runs a tool of the build; throws with what it said. `from` is the Debian package it comes in. */
export function runTool(from: string, argv: readonly string[], input?: Uint8Array): Buffer {
  const { error, status, stdout, stderr } = spawnSync(argv[0]!, argv.slice(1), {
    ...(input !== undefined && { input }),
    maxBuffer: 1024 ** 3,
  });
  if (error !== undefined) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    throw new Error(missing ? `${argv[0]} is missing: apt-get install ${from}` : error.message);
  }
  if (status !== 0) throw new Error(`${argv[0]} ended with ${status}: ${stderr.toString()}`);
  return stdout;
}
