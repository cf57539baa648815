import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';
import { diagnosticFacts, finding, type Finding } from '../../../../proto/actions/diagnostics.ts';
import type { Observation, ObservationName } from '../../../jobs/observation.ts';
import { minimalEnvironment } from '../../../process/run-command.ts';
import { TargetFiles } from '../../../target/target-files.ts';
import { NotApplicable, ProbeFailure, type Probe, type ProbeContext } from '../probe.ts';

type Observed = Partial<Record<ObservationName, Observation>>;

/** A system in a folder for one probe to look at; every look proves that it changed nothing there. */
export class ProbeFixture {
  readonly root: string;

  private constructor(root: string) {
    this.root = root;
  }

  static async create(): Promise<ProbeFixture> {
    return new ProbeFixture(await realpath(await mkdtemp(join(tmpdir(), 'ivp-'))));
  }

  async close(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  path(name: string): string {
    return join(this.root, name);
  }

  async write(name: string, text: string, mode = 0o644): Promise<void> {
    await mkdir(dirname(this.path(name)), { recursive: true });
    await writeFile(this.path(name), text);
    await chmod(this.path(name), mode);
  }

  /** The findings of a probe; throws what it throws. */
  async look(
    probe: Probe,
    observed: Observed = {},
    root = this.root,
    volumes?: ProbeContext['volumes'],
  ): Promise<Finding[]> {
    const before = treeDigest(this.root);
    try {
      const result = await probe.look({
        ...probeContext(new TargetFiles(root), observed),
        ...(volumes !== undefined && { volumes }),
      });
      diagnosticFacts.parse(result.facts ?? {});
      return result.findings.map((found) => finding.parse({ ...found, area: probe.area }));
    } finally {
      expect(treeDigest(this.root)).toBe(before);
    }
  }
}

function probeContext(files: TargetFiles, observed: Observed): ProbeContext {
  return {
    files,
    async observe(name) {
      const seen = observed[name];
      if (seen === undefined) throw new ProbeFailure(`${name} was not observed`);
      if (seen.problem === 'not_applicable') throw new NotApplicable(name);
      return seen;
    },
    observed: async (prefix) =>
      Object.keys(observed).filter((name) => name.startsWith(prefix)) as ObservationName[],
    run: async (argv) => {
      // sshd wants a folder of its own, which this machine may not have.
      const inside = ['--dev-bind', '/', '/', '--tmpfs', '/run', '--dir', '/run/sshd', '--'];
      const { exitStatus, out, err } = await seenBy(['bwrap', ...inside, ...argv]);
      return { exitStatus, out, err, signal: null, timedOut: false, truncated: false };
    },
    now: Date.parse('2026-11-23T09:00:00Z'),
  };
}

/** What a program of this machine really prints, as an observation. */
export function seenBy(argv: readonly string[]): Promise<Observation> {
  return new Promise((resolve, reject) => {
    const [program, ...words] = argv;
    const env = { ...minimalEnvironment };
    execFile(program!, words, { env, maxBuffer: 16 * 1024 * 1024 }, (error, out, err) => {
      const code = (error as { code?: unknown } | null)?.code ?? 0;
      if (typeof code !== 'number') reject(error as Error);
      else resolve({ exitStatus: code, problem: null, out, err, command: argv.join(' ') });
    });
  });
}

/** An observation of recorded text. */
export function recorded(out: string, command = 'recorded'): Observation {
  return { exitStatus: 0, problem: null, out, err: '', command };
}

/** Rule and subject, as `fs.full /var`. */
export function names(findings: readonly Finding[]): string[] {
  return findings.map(({ rule, subject }) => `${rule} ${subject}`);
}

/** Names, modes, owners, times of change and bytes of everything below a folder. */
export function treeDigest(folder: string): string {
  const hash = createHash('sha256');
  const add = (path: string) => {
    const { mode, uid, gid, size, mtimeMs, ctimeMs } = lstatSync(path);
    hash.update(JSON.stringify([path, mode, uid, gid, size, mtimeMs, ctimeMs]));
    const kind = mode & 0o170000;
    if (kind === 0o040000) for (const name of readdirSync(path).toSorted()) add(join(path, name));
    if (kind === 0o120000) hash.update(readlinkSync(path));
    if (kind === 0o100000) hash.update(readFileSync(path));
  };
  add(folder);
  return hash.digest('hex');
}
