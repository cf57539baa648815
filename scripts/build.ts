import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import { packEntries } from './archive.ts';
import type { ArchiveEntry } from './archive.ts';

/**
 * Bundles the agent into `dist/agent`: the programs, ready to run there with any Node 24, and the archive
 * with a Node of its own that the installer fetches. Does only what is not up to date.
 */

const root = path.dirname(import.meta.dirname);
const out = path.join(root, 'dist/agent');
const arch = process.arch;
const archiveName = `intervene-agent-linux-${arch}.tar.gz`;
const nodeBinary = path.join(root, `node_modules/node-linux-${arch}/bin/node`);
const inRepository = (file: string) => readFileSync(path.join(root, file));
const sha256 = (...parts: (string | Uint8Array)[]) => {
  const hash = createHash('sha256');
  for (const part of parts) hash.update(part);
  return hash.digest('hex');
};
const say = (text: string) => console.log(`▸ ${text}`);

/** Bundled CommonJS modules look for `require`, which a module of Node's own kind does not have. */
const REQUIRE = [
  `import { createRequire as makeRequire } from 'node:module';`,
  `const require = makeRequire(import.meta.url);`,
].join('\n');

const LAUNCHER = `#!/bin/sh
here=$(dirname -- "$(readlink -f -- "$0")")
exec "$here/node" --max-semi-space-size=1 "$here/../intervene-agent.mjs" "$@"
`;

/** Messages of the schema library in forty languages: half a megabyte that nobody reads here. */
const withoutLocales: Plugin = {
  name: 'without-locales',
  setup: (plugin) => {
    plugin.onLoad({ filter: /node_modules\/zod\/v4\/locales\/index\.js$/ }, () => ({
      contents: `export { default as en } from './en.js';`,
    }));
  },
};

/** Everything of the program but Node, by name. */
async function bundle(): Promise<Map<string, Uint8Array>> {
  const { outputFiles } = await build({
    absWorkingDir: root,
    entryPoints: { 'intervene-agent': 'agent/main.ts', runner: 'agent/runner/main.ts' },
    outdir: out,
    bundle: true,
    splitting: true,
    write: false,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    outExtension: { '.js': '.mjs' },
    chunkNames: 'chunk-[hash]',
    banner: { js: REQUIRE },
    // Less to read at every start; names stay, so that a stack says where it was.
    minifyWhitespace: true,
    plugins: [withoutLocales],
    legalComments: 'none',
    logLevel: 'warning',
  });
  const files = outputFiles.map((file) => [path.relative(out, file.path), file.contents] as const);
  return new Map([
    ...files,
    ['intervene/v1/agent.proto', inRepository('proto/intervene/v1/agent.proto')],
    ['intervene-agent.service', inRepository('agent/install/intervene-agent.service')],
  ]);
}

/** Two builds at once must not leave half of a file. */
function replaceFile(file: string, content: string | Uint8Array, mode = 0o644): void {
  const draft = `${file}.${process.pid}.new`;
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(draft, content);
  chmodSync(draft, mode);
  renameSync(draft, file);
}

/** Returns whether anything changed. */
function writeFiles(files: ReadonlyMap<string, Uint8Array>): boolean {
  let changed = false;
  for (const [name, content] of files) {
    const file = path.join(out, name);
    if (existsSync(file) && readFileSync(file).equals(content)) continue;
    replaceFile(file, content);
    changed = true;
  }
  for (const name of readdirSync(out)) {
    if (name.endsWith('.mjs') && !files.has(name)) rmSync(path.join(out, name));
  }
  return changed;
}

/** Node is compressed once per version: it is the same in every archive, and takes seconds. */
function packNode(): Buffer {
  const node = readFileSync(nodeBinary);
  const file = path.join(out, `.node-${sha256(node).slice(0, 16)}.gz`);
  if (existsSync(file)) return readFileSync(file);
  say(`compressing Node (${Math.round(node.length / 1e6)} MB)`);
  for (const name of readdirSync(out)) {
    if (/^\.node-.*\.gz$/.test(name)) rmSync(path.join(out, name));
  }
  const packed = packEntries([{ name: 'bin/node', content: node, mode: 0o755 }], false);
  replaceFile(file, packed);
  return packed;
}

function writeArchive(files: ReadonlyMap<string, Uint8Array>): Buffer {
  const file = path.join(out, archiveName);
  const entries: ArchiveEntry[] = [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, content]) => ({ name, content, mode: 0o644 }));
  entries.push({ name: 'bin/intervene-agent', content: Buffer.from(LAUNCHER), mode: 0o755 });
  const archive = Buffer.concat([packNode(), packEntries(entries, true)]);
  if (!existsSync(file) || !readFileSync(file).equals(archive)) {
    replaceFile(file, archive);
    say(`${path.relative(root, file)}: ${(archive.length / 1e6).toFixed(1)} MB`);
  }
  return archive;
}

/** The installer carries the digest of the archive, so that the digest of the installer covers both. */
function writeInstaller(archive: Buffer): void {
  const source = inRepository('agent/install/install.sh').toString();
  const stamped = source.replace(/^bundles=''$/m, `bundles='${arch}=sha256:${sha256(archive)}'`);
  if (stamped === source) throw new Error('the installer has no place for the digest');
  const file = path.join(out, 'install.sh');
  if (existsSync(file) && readFileSync(file, 'utf8') === stamped) return;
  replaceFile(file, stamped, 0o755);
  say(`dist/agent/install.sh: sha256:${sha256(stamped)}`);
}

mkdirSync(out, { recursive: true });
const files = await bundle();
if (writeFiles(files)) say(`bundled the agent: ${files.size} files in dist/agent`);
if (existsSync(nodeBinary)) writeInstaller(writeArchive(files));
else say(`no Node for linux-${arch} in node_modules: no archive`);
