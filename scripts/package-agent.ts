import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  lutimesSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { gzipSync } from 'node:zlib';
import { runTool } from './node-runtime.ts';

/**
 * Builds the Debian package of the agent from the archive that `scripts/build.ts` made. The same sources give
 * the same bytes: every time in it is SOURCE_DATE_EPOCH, or else that of the last commit.
 *
 *   node scripts/package-agent.ts [--out FOLDER] [--version VERSION] [--compression xz|gzip|none]
 */

const USAGE =
  'node scripts/package-agent.ts [--out FOLDER] [--version VERSION] [--compression xz|gzip|none]';
const root = path.dirname(import.meta.dirname);
const debian = path.join(root, 'agent/install/debian');
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' };
const LIB = 'usr/lib/intervene-agent';

export interface PackageOptions {
  out?: string;
  /** Debian version; that of the program unless given. */
  version?: string;
  compression?: string;
  /** Seconds. */
  epoch?: number;
}

/** Returns where the package was written. */
export function packageAgent(options: PackageOptions = {}): string {
  const version = options.version ?? programVersion();
  const architecture = ARCHITECTURES[process.arch];
  if (architecture === undefined) throw new Error(`no package for ${process.arch}`);
  const out = path.resolve(options.out ?? path.join(root, 'dist/packages'));
  const tree = mkdtempSync(path.join(tmpdir(), 'iv-deb-'));
  try {
    chmodSync(tree, 0o755);
    layOut(tree, version);
    writeControl(tree, { VERSION: version, ARCHITECTURE: architecture });
    const epoch = options.epoch ?? sourceDate();
    setTimes(tree, epoch);
    mkdirSync(out, { recursive: true });
    const file = path.join(out, `intervene-agent_${version}_${architecture}.deb`);
    const draft = `${file}.${process.pid}.new`;
    const packing = [`-Z${options.compression ?? 'xz'}`, '--threads-max=2'];
    const words = ['dpkg-deb', '--root-owner-group', ...packing, '--build', tree, draft];
    runTool('dpkg', ['env', `SOURCE_DATE_EPOCH=${epoch}`, ...words]);
    renameSync(draft, file);
    return file;
  } finally {
    rmSync(tree, { recursive: true, force: true });
  }
}

/** Everything that dpkg unpacks. */
function layOut(tree: string, version: string): void {
  const at = (name: string) => path.join(tree, name);
  const put = (name: string, content: string | Uint8Array, mode = 0o644) => {
    mkdirSync(path.dirname(at(name)), { recursive: true });
    writeFileSync(at(name), content);
    chmodSync(at(name), mode);
  };
  const own = (name: string) => readFileSync(path.join(debian, name));

  const dist = at(`${LIB}/dist`);
  mkdirSync(dist, { recursive: true });
  const archive = path.join(root, `dist/agent/intervene-agent-linux-${process.arch}.tar.xz`);
  runTool('tar', ['tar', '--no-same-owner', '-xJf', archive, '-C', dist]);
  rmSync(path.join(dist, 'intervene-agent.service'));
  put(`${LIB}/dist/id`, `${version}-${digestOfTree(dist).slice(0, 12)}\n`);
  for (const script of ['switch-version', 'remove-unused-versions']) {
    put(`${LIB}/${script}`, own(script), 0o755);
  }
  mkdirSync(at('usr/bin'), { recursive: true });
  symlinkSync('../lib/intervene-agent/current/bin/intervene-agent', at('usr/bin/intervene-agent'));

  const unit = readFileSync(path.join(root, 'agent/install/intervene-agent.service'));
  put('usr/lib/systemd/system/intervene-agent.service', unit);
  put('usr/lib/systemd/system/intervene-agent.service.d/versions.conf', own('versions.conf'));
  put('etc/intervene/policy.toml', own('policy.toml'));
  put('usr/share/bash-completion/completions/intervene-agent', own('completion.bash'));
  put('usr/share/man/man8/intervene-agent.8.gz', gzipSync(own('intervene-agent.8'), { level: 9 }));
  put('usr/share/doc/intervene-agent/copyright', own('copyright'));
  const changes = readFileSync(path.join(root, 'CHANGELOG.md'));
  put('usr/share/doc/intervene-agent/changelog.gz', gzipSync(changes, { level: 9 }));
  for (const folder of foldersOf(tree)) chmodSync(folder, 0o755);
}

function writeControl(tree: string, values: Readonly<Record<string, string>>): void {
  const files = filesOf(tree);
  const kibibytes = files.reduce((sum, file) => sum + Math.ceil(statOf(file) / 1024), 0);
  const all: Record<string, string> = { ...values, INSTALLED_SIZE: String(kibibytes) };
  const folder = path.join(tree, 'DEBIAN');
  const sums = files.map((file) => {
    const md5 = createHash('md5').update(readFileSync(file)).digest('hex');
    return `${md5}  ${path.relative(tree, file)}\n`;
  });
  mkdirSync(folder, { mode: 0o755 });
  const control = readFileSync(path.join(debian, 'control'), 'utf8');
  writeFileSync(
    path.join(folder, 'control'),
    control.replace(/@(\w+)@/g, (_, name: string) => all[name]!),
  );
  writeFileSync(path.join(folder, 'md5sums'), sums.join(''));
  cpSync(path.join(debian, 'conffiles'), path.join(folder, 'conffiles'));
  for (const script of ['preinst', 'postinst', 'prerm', 'postrm']) {
    cpSync(path.join(debian, script), path.join(folder, script));
    chmodSync(path.join(folder, script), 0o755);
  }
  for (const name of ['control', 'md5sums', 'conffiles']) chmodSync(path.join(folder, name), 0o644);
}

const entriesOf = (tree: string) =>
  readdirSync(tree, { recursive: true, withFileTypes: true }).toSorted((a, b) =>
    path.join(a.parentPath, a.name) < path.join(b.parentPath, b.name) ? -1 : 1,
  );
const filesOf = (tree: string) =>
  entriesOf(tree)
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
const foldersOf = (tree: string) =>
  entriesOf(tree)
    .filter((entry) => entry.isDirectory())
    .map((entry) => path.join(entry.parentPath, entry.name));
const statOf = (file: string) => statSync(file).size;

function digestOfTree(tree: string): string {
  const hash = createHash('sha256');
  for (const file of filesOf(tree)) {
    const content = createHash('sha256').update(readFileSync(file)).digest('hex');
    hash.update(`${path.relative(tree, file)} ${content}\n`);
  }
  return hash.digest('hex');
}

function setTimes(tree: string, epoch: number): void {
  for (const entry of entriesOf(tree)) {
    lutimesSync(path.join(entry.parentPath, entry.name), epoch, epoch);
  }
  lutimesSync(tree, epoch, epoch);
}

function programVersion(): string {
  const manifest = readFileSync(path.join(root, 'package.json'), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}

function sourceDate(): number {
  const given = Number(process.env['SOURCE_DATE_EPOCH']);
  if (Number.isSafeInteger(given) && given > 0) return given;
  const { stdout } = spawnSync('git', ['log', '-1', '--format=%ct'], {
    cwd: root,
    encoding: 'utf8',
  });
  const committed = Number(stdout);
  if (committed > 0) return committed;
  throw new Error('there is no commit here to take the time from: set SOURCE_DATE_EPOCH');
}

if (process.argv[1] === import.meta.filename) {
  const { values } = parseArgs({
    options: {
      out: { type: 'string' },
      version: { type: 'string' },
      compression: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    process.exit(0);
  }
  const file = packageAgent(values as PackageOptions);
  console.log(`▸ ${path.relative(root, file)}: ${(statOf(file) / 1e6).toFixed(1)} MB`);
}
