import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import type { Metafile, Plugin } from 'esbuild';

/**
 * Bundles the command line into `dist/cli`: finding, stripping and compiling two hundred modules takes longer
 * than most commands. Commands that are part of the control plane itself, such as `up`, stay where they are:
 * the bundle replaces itself with the program from its sources.
 */

const root = path.dirname(import.meta.dirname);
const out = path.join(root, 'dist/cli');
const ENTRY = 'control-plane/cli/main.ts';
const CLI_BUNDLE = 'dist/cli/intervene.mjs';
const COMMANDS = 'control-plane/cli/commands/';
/** What only a server needs; a command that leads there belongs to it. */
const SERVER_PACKAGES = ['node_modules/pg/', 'node_modules/@grpc/'];
/** A command that runs may still need its part of the former bundle. */
const KEEP_MS = 24 * 3600 * 1000;

/** Bundled CommonJS modules look for `require`, which a module of Node's own kind does not have. */
const REQUIRE = [
  `import { createRequire as makeRequire } from 'node:module';`,
  `const require = makeRequire(import.meta.url);`,
].join('\n');

const FROM_SOURCES = `
const entry = new URL('../../${ENTRY}', import.meta.url).pathname;
process.execve(process.execPath, [process.execPath, entry, ...process.argv.slice(2)], process.env);
`;

/** Returns whether anything changed. */
export async function buildCli(): Promise<boolean> {
  const whole = await bundle(new Set());
  const { outputFiles } = await bundle(serverCommands(whole.metafile));
  mkdirSync(out, { recursive: true });
  let isNew = false;
  // The entry last: what it names is there then.
  for (const { path: file, contents } of outputFiles.toSorted((a) => (isEntry(a.path) ? 1 : -1))) {
    const isSame = existsSync(file) && readFileSync(file).equals(contents);
    isNew ||= !isSame;
    // The entry in any case: its time says for which sources it stands.
    if (!isSame || isEntry(file)) replaceFile(file, contents);
  }
  const made = new Set(outputFiles.map((file) => path.basename(file.path)));
  for (const name of readdirSync(out)) {
    const file = path.join(out, name);
    if (!made.has(name) && Date.now() - statSync(file).mtimeMs > KEEP_MS) rmSync(file);
  }
  return isNew;
}

function bundle(stubs: ReadonlySet<string>) {
  return build({
    absWorkingDir: root,
    entryPoints: { intervene: ENTRY },
    outdir: out,
    bundle: true,
    splitting: true,
    write: false,
    metafile: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    banner: { js: REQUIRE },
    minifyWhitespace: true,
    plugins: [inPlace(stubs)],
    legalComments: 'none',
    logLevel: 'warning',
  });
}

/** Modules keep seeing the folder they lie in; stubs hand over to the sources. */
function inPlace(stubs: ReadonlySet<string>): Plugin {
  return {
    name: 'in-place',
    setup: (plugin) => {
      plugin.onLoad({ filter: /\/(?:control-plane|proto)\/.*\.ts$/ }, ({ path: file }) => {
        const source = readFileSync(file, 'utf8');
        if (stubs.has(path.relative(root, file))) return { contents: stubOf(source), loader: 'js' };
        if (!source.includes('import.meta.url')) return null;
        const place = `new URL(${JSON.stringify(path.relative(out, file))}, import.meta.url).href`;
        return { contents: source.replaceAll('import.meta.url', place), loader: 'ts' };
      });
    },
  };
}

/** Whoever loads it is gone before it could use what it exports. */
function stubOf(source: string): string {
  const names = [...source.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name]) => name);
  return `${FROM_SOURCES}const gone = null;\nexport { ${names.map((name) => `gone as ${name}`).join(', ')} };\n`;
}

/** Commands from which the control plane itself can be reached. */
function serverCommands({ inputs }: Metafile): Set<string> {
  return new Set(
    Object.keys(inputs)
      .filter((name) => name.startsWith(COMMANDS))
      .filter((command) =>
        reachedFrom(command, inputs).some((name) =>
          SERVER_PACKAGES.some((folder) => name.includes(folder)),
        ),
      ),
  );
}

function reachedFrom(first: string, inputs: Metafile['inputs']): string[] {
  const seen = new Set([first]);
  for (const name of seen) {
    for (const next of inputs[name]?.imports ?? []) seen.add(next.path);
  }
  return [...seen];
}

function isEntry(file: string): boolean {
  return file === path.join(root, CLI_BUNDLE);
}

/** Two builds at once must not leave half of a file. */
function replaceFile(file: string, content: Uint8Array): void {
  const draft = `${file}.${process.pid}.new`;
  writeFileSync(draft, content);
  renameSync(draft, file);
}
