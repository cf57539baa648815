import {
  lackingIn,
  readRecord,
  RECORD_MAX_BYTES,
  wrongHoldsIn,
} from '../../packages/dpkg-record.ts';
import { badSources } from '../../packages/source-lines.ts';
import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, nothingFound, type Probe, type ProbeContext } from '../probe.ts';

const FOLDER = '/var/lib/dpkg';
const DPKG_STATUS = `${FOLDER}/status`;
/** As many as `packages.repair` may be told. */
const NAMED_MAX = 64;
const SUGGESTION = { action: 'packages.repair', parameters: {} } as const;

export const dpkgState: Probe = {
  id: 'packages.dpkg',
  area: 'packages',
  offline: true,
  limitMs: 3_500,
  async look(context) {
    const { files, run } = context;
    const status = await files.stat(`${FOLDER}/status`);
    const path = await files.locate(FOLDER);
    if (path === null) throw new NotApplicable('packages are not kept by dpkg');
    if (status === null || status.size === 0) return { findings: await lostDatabase(context) };
    const findings: NewFinding[] = [];
    const argv = ['dpkg', `--admindir=${path}`, '--audit'];
    const audit = await run(argv);
    // It ends with 0 whatever it has to say.
    const said = audit.out
      .split(/\n\n+/)
      // Without them only a later check of the files is less sharp; packages made by hand have none.
      .filter((section) => !section.includes('md5sums control file'))
      .join('\n\n')
      .trim();
    if (said !== '') findings.push(...judgeAudit(said, argv.join(' ')));
    const left = (await files.list(`${FOLDER}/updates`)).filter((name) => /^\d+$/.test(name));
    if (left.length > 0) {
      findings.push({
        rule: 'pkg.half_configured',
        severity: 'warning',
        subject: 'dpkg',
        title: 'An installation was cut off: dpkg has to finish it before anything else',
        evidence: [fileEvidence(`${FOLDER}/updates`, null, left.join(' '))],
        suggestion: SUGGESTION,
        byHand: 'dpkg --configure -a',
      });
    }
    return { findings };
  },
};

/** Names of packages stand in the second column of indented lines (dpkg --audit). */
export function judgeAudit(said: string, command: string): NewFinding[] {
  const names = [...said.matchAll(/^ (\S+)/gm)].map(([, name]) => name!);
  const subjects = names.length > 0 ? [...new Set(names)] : ['dpkg'];
  return [
    {
      rule: 'pkg.half_configured',
      severity: 'warning',
      subject: subjects.slice(0, 8).join(', '),
      title:
        subjects.length === 1
          ? `The package ${subjects[0]} is not properly installed`
          : `${subjects.length} packages are not properly installed`,
      evidence: [commandEvidence(command, said)],
      suggestion: SUGGESTION,
      byHand:
        'dpkg --configure -a; if that fails: apt-get install --fix-broken, after looking with -s.',
    },
  ];
}

async function lostDatabase({ files }: ProbeContext): Promise<NewFinding[]> {
  const lists = (await files.list(`${FOLDER}/info`)).filter((name) => name.endsWith('.list'));
  if (lists.length === 0) throw new NotApplicable('no package is installed by dpkg');
  return [
    {
      rule: 'pkg.db_empty',
      severity: 'critical',
      subject: `${FOLDER}/status`,
      title: 'dpkg has forgotten which packages are installed',
      evidence: [
        fileEvidence(`${FOLDER}/status`, null, `empty; ${lists.length} packages left their lists`),
      ],
      suggestion: SUGGESTION,
      byHand: `Put a copy back: ${FOLDER}/status-old, or the newest /var/backups/dpkg.status.*.`,
    },
  ];
}

export const aptSources: Probe = {
  id: 'packages.sources',
  area: 'packages',
  offline: true,
  limitMs: 1_000,
  async look({ files }) {
    if ((await files.stat('/etc/apt')) === null) {
      throw new NotApplicable('packages are not brought by apt');
    }
    const bad = await badSources(files);
    return {
      findings: bad.map(({ file, line, text, why }) => ({
        rule: 'pkg.sources',
        severity: 'warning',
        subject: `${file}:${line}`,
        title: `apt stops at line ${line} of ${file}: ${why}`,
        evidence: [fileEvidence(file, line, text)],
        suggestion: SUGGESTION,
        byHand: `Correct the line, or put # before it; then: apt-get update.`,
      })),
    };
  },
};

/** Packages that are there without what they need: apt refuses everything else until they have it. */
export const dependencies: Probe = {
  id: 'packages.dependencies',
  area: 'packages',
  offline: true,
  limitMs: 2_000,
  async look({ files }) {
    const text = await files.read(DPKG_STATUS, RECORD_MAX_BYTES);
    if (text === null) throw new NotApplicable('packages are not kept by dpkg');
    const record = readRecord(text);
    const lacking = lackingIn(record);
    if (lacking.length === 0) return nothingFound;
    const held = wrongHoldsIn(record, lacking);
    const names = lacking.map(({ name }) => name);
    const [first] = lacking;
    const suggestion = {
      action: 'packages.repair' as const,
      parameters: {
        packages: names.slice(0, NAMED_MAX),
        ...(held.length > 0 && {
          releaseHolds: held.slice(0, NAMED_MAX).map(({ name }) => name),
        }),
      },
    };
    return {
      findings: [
        {
          rule: 'pkg.broken_dependencies',
          severity: 'warning',
          subject: names.slice(0, 8).join(', '),
          title:
            names.length === 1
              ? `${first!.by} needs ${first!.name}, which is not there`
              : `${names.length} packages that others need are not there, or in another version`,
          evidence: lacking
            .slice(0, 4)
            .map(({ name, by }) => fileEvidence(DPKG_STATUS, null, `${by} needs ${name}`)),
          suggestion,
          byHand:
            'apt-get --simulate --fix-broken install; the same without -s when it removes nothing.',
        },
        ...held.map(({ name, by }) => wrongHold(name, by, suggestion)),
      ],
    };
  },
};

/** A hold is somebody's decision: letting go of it is suggested by name, and the client has to name it, too. */
function wrongHold(name: string, by: string, suggestion: NewFinding['suggestion']): NewFinding {
  return {
    rule: 'pkg.wrong_hold',
    severity: 'warning',
    subject: name,
    title: `${name} is held back, and ${by} needs another version of it`,
    evidence: [fileEvidence(DPKG_STATUS, null, `Package: ${name} Status: hold`)],
    suggestion,
    byHand: `apt-mark unhold ${name}; then: apt-get --simulate --fix-broken install.`,
  };
}
