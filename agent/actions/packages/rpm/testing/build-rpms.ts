import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { must } from '../../../../../test/harness/process.ts';

export interface RpmSpec {
  name: string;
  version: string;
  /** Further lines of the head, such as `Requires: nginx`. */
  head?: readonly string[];
  /** Paths with their text. */
  files?: Readonly<Record<string, string>>;
  /** Files that the client may change, and that a new version leaves as they are. */
  config?: Readonly<Record<string, string>>;
  /** Files that the client may change, and that a new version takes the place of. */
  plainConfig?: Readonly<Record<string, string>>;
  /** `pre`, `post`, `preun`, `postun`; each a shell script. */
  scripts?: Readonly<Record<string, string>>;
}

/** Builds real .rpms, for every architecture, into a folder. */
export async function buildRpms(folder: string, specs: readonly RpmSpec[]): Promise<void> {
  if (specs.length === 0) return;
  const place = mkdtempSync(join(tmpdir(), 'iv-rpmbuild-'));
  try {
    const files = specs.map((spec, at) => {
      const sources = join(place, `files-${at}`);
      mkdirSync(sources);
      const path = join(place, `${at}.spec`);
      writeFileSync(path, specText(spec, sources));
      return path;
    });
    const defines = [
      `_topdir ${place}/top`,
      `_rpmdir ${folder}`,
      '_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm',
    ];
    const words = defines.flatMap((define) => ['--define', define]);
    await must(['rpmbuild', '-bb', '--quiet', ...words, ...files]);
  } finally {
    rmSync(place, { recursive: true, force: true });
  }
}

function specText(spec: RpmSpec, sources: string): string {
  const all = { ...spec.files, ...spec.config, ...spec.plainConfig };
  const copies = Object.entries(all).map(([path, text], at) => {
    writeFileSync(join(sources, String(at)), text);
    return `install -D -m 644 ${sources}/${at} %{buildroot}${path}`;
  });
  const [version, release = '1'] = spec.version.split('-');
  return [
    `Name: ${spec.name}`,
    `Version: ${version}`,
    `Release: ${release}`,
    'Summary: made by a test',
    'License: none',
    'BuildArch: noarch',
    // Nothing is stripped or looked through for what it needs.
    'AutoReqProv: no',
    ...(spec.head ?? []),
    '%description',
    'made by a test',
    '%install',
    'mkdir -p %{buildroot}',
    ...copies,
    ...Object.entries(spec.scripts ?? {}).flatMap(([name, body]) => [`%${name}`, body]),
    '%files',
    ...Object.keys(spec.files ?? {}),
    ...Object.keys(spec.config ?? {}).map((path) => `%config(noreplace) ${path}`),
    ...Object.keys(spec.plainConfig ?? {}).map((path) => `%config ${path}`),
    '',
  ].join('\n');
}
