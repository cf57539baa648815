import type { TargetFiles } from '../../../target/target-files.ts';
import { fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';

export const PAM_FOLDER = '/etc/pam.d';
const SERVICES = ['sshd', 'login', 'su', 'sudo'];
const DEPTH_MAX = 8;

/** What a line of a stack needs and is not there. */
export interface MissingInPam {
  file: string;
  /** Number of the line, from 1 on. */
  line: number;
  text: string;
  kind: 'file' | 'module';
  name: string;
}

/** What logging in goes through: a file or module that is missing there keeps everybody out. */
export const pam: Probe = {
  id: 'accounts.pam',
  area: 'accounts',
  offline: true,
  limitMs: 2_000,
  async look({ files }) {
    const missing = await findMissingInPam(files);
    if (missing === null) throw new NotApplicable('PAM is not used here');
    return { findings: missing.map(findingOf) };
  },
};

/** Everything that the stacks of logging in need and that is not there; null where PAM is not used. */
export async function findMissingInPam(files: TargetFiles): Promise<MissingInPam[] | null> {
  const there = new Set(await files.list(PAM_FOLDER));
  if (there.size === 0) return null;
  const modules = await moduleNames(files);
  const missing: MissingInPam[] = [];
  const looked = new Set<string>();
  const look = async (name: string, depth: number): Promise<void> => {
    if (looked.has(name) || depth > DEPTH_MAX) return;
    looked.add(name);
    const file = `${PAM_FOLDER}/${name}`;
    const text = (await files.read(file)) ?? '';
    for (const [at, line] of text.split('\n').entries()) {
      const needed = neededBy(line);
      if (needed === null) continue;
      const isThere =
        needed.kind === 'file'
          ? there.has(needed.name)
          : needed.name.startsWith('/')
            ? (await files.stat(needed.name)) !== null
            : modules.has(needed.name);
      if (isThere && needed.kind === 'file') await look(needed.name, depth + 1);
      if (!isThere) missing.push({ file, line: at + 1, text: line, ...needed });
    }
  };
  for (const name of SERVICES.filter((service) => there.has(service))) await look(name, 0);
  return missing;
}

function findingOf({ file, line, text, name }: MissingInPam): NewFinding {
  return {
    rule: 'auth.pam_missing',
    severity: 'critical',
    subject: `${file} ${name}`,
    title: `Logging in fails: ${file} needs ${name}, which is not there`,
    evidence: [fileEvidence(file, line, text)],
    suggestion: { action: 'access.repair-accounts', parameters: {} },
    byHand: `Install the package that ${name} comes with again, or take line ${line} out of ${file}.`,
  };
}

/** The file or module a line needs (pam.d(5)); null where none, or where it may be missing. */
function neededBy(line: string): { kind: 'file' | 'module'; name: string } | null {
  const text = line.trim();
  if (text === '' || text.startsWith('#')) return null;
  const [, included] = /^@include\s+(\S+)/.exec(text) ?? [];
  if (included !== undefined) return { kind: 'file', name: included };
  const match = /^(-?)(?:auth|account|password|session)\s+(\[[^\]]*\]|\S+)\s+(\S+)/.exec(text);
  if (match === null || match[1] === '-') return null;
  const [, , control, name] = match;
  if (control === 'include' || control === 'substack') return { kind: 'file', name: name! };
  // What is optional is logged and passed over.
  if (control === 'optional') return null;
  return { kind: 'module', name: name! };
}

async function moduleNames(files: TargetFiles): Promise<Set<string>> {
  const names = new Set<string>();
  for (const base of ['/lib', '/lib64', '/usr/lib', '/usr/lib64']) {
    const triples = (await files.list(base)).filter((name) => name.includes('-linux-'));
    for (const folder of ['security', ...triples.map((triple) => `${triple}/security`)]) {
      for (const name of await files.list(`${base}/${folder}`)) names.add(name);
    }
  }
  return names;
}
