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
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import type { Plugin } from 'esbuild';
import { packEntries } from './archive.ts';
import type { ArchiveEntry } from './archive.ts';
import { buildCli } from './build-cli.ts';
import { derivedFromNode, runTool, whatPackingLacks } from './node-runtime.ts';

/**
 * Bundles the agent into `dist/agent`: the programs, ready to run there with any Node 24, and archives
 * with a Node of its own, of which the installer fetches one. Does only what is not up to date.
 */

const root = path.dirname(import.meta.dirname);
const out = path.join(root, 'dist/agent');
const arch = process.arch;
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
    ['pty.node', inRepository(`node_modules/@lydell/node-pty-linux-${arch}/pty.node`)],
    ['intervene-agent.service', inRepository('agent/install/intervene-agent.service')],
    ['guardian.sh', inRepository('agent/guard/guardian.sh')],
    ['remove-nft-rule.sh', inRepository('agent/guard/remove-nft-rule.sh')],
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

/** Node takes seconds to minutes to compress, and is the same in every archive of one version. */
const packings: Readonly<Record<string, (bytes: Uint8Array) => Uint8Array>> = {
  gz: (bytes) => gzipSync(bytes, { level: 6 }),
  xz: (bytes) => runTool('xz-utils', ['xz', '--compress', '--threads=2', '-6'], bytes),
};

/** One archive per packing; returns `ARCH.PACKING=DIGEST` of each. */
function writeArchives(files: ReadonlyMap<string, Uint8Array>): string[] {
  const entries: ArchiveEntry[] = [...files]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, content]) => ({ name, content, mode: 0o644 }));
  entries.push({ name: 'bin/intervene-agent', content: Buffer.from(LAUNCHER), mode: 0o755 });
  const rest = packEntries(entries, true);
  return Object.entries(packings).map(([packing, pack]) => {
    const packNode = (node: Buffer) => {
      say(`compressing Node (${Math.round(node.length / 1e6)} MB) with ${packing}`);
      return pack(packEntries([{ name: 'bin/node', content: node, mode: 0o755 }], false));
    };
    const node = derivedFromNode(out, `.tar.${packing}`, packNode, replaceFile);
    const archive = Buffer.concat([node, pack(rest)]);
    const file = path.join(out, `intervene-agent-linux-${arch}.tar.${packing}`);
    if (!existsSync(file) || !readFileSync(file).equals(archive)) {
      replaceFile(file, archive);
      say(`${path.relative(root, file)}: ${(archive.length / 1e6).toFixed(1)} MB`);
    }
    return `${arch}.${packing}=sha256:${sha256(archive)}`;
  });
}

/** The installer carries the digests of the archives, so that the digest of the installer covers them all. */
function writeInstaller(digests: readonly string[]): void {
  const source = inRepository('agent/install/install.sh').toString();
  const stamped = source.replace(/^bundles=''$/m, `bundles='${digests.join(' ')}'`);
  if (stamped === source) throw new Error('the installer has no place for the digest');
  const file = path.join(out, 'install.sh');
  if (existsSync(file) && readFileSync(file, 'utf8') === stamped) return;
  replaceFile(file, stamped, 0o755);
  say(`dist/agent/install.sh: sha256:${sha256(stamped)}`);
}

mkdirSync(out, { recursive: true });
const files = await bundle();
if (writeFiles(files)) say(`bundled the agent: ${files.size} files in dist/agent`);
const lacking = whatPackingLacks();
if (lacking === null) writeInstaller(writeArchives(files));
else say(`no archive of the agent: ${lacking}`);
if (await buildCli()) say('bundled the command line: dist/cli');
