import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, ProbeFailure, type Probe } from '../probe.ts';

/** Where rpm keeps its database, by its files: SQLite, ndb, Berkeley DB. */
export const RPM_DATABASES = ['/var/lib/rpm', '/usr/lib/sysimage/rpm'].flatMap((folder) =>
  ['rpmdb.sqlite', 'Packages.db', 'Packages'].map((name) => `${folder}/${name}`),
);
const ARGV = ['rpm', '--query', '--all', '--queryformat=.'];
const DAMAGE =
  /file is not a database|database disk image is malformed|attempt to write a readonly database|rpmdb: .*(?:corrupt|damaged|BDB\d+)|rpmdbNextIterator: skipping/i;
const LINES_SHOWN = 5;

/** Whether rpm can read its own record of what is installed. */
export const rpmDatabase: Probe = {
  id: 'packages.rpm',
  area: 'packages',
  offline: true,
  limitMs: 4_000,
  async look({ files, run, volumes }) {
    const there = await Promise.all(RPM_DATABASES.map((file) => files.stat(file)));
    const at = there.findIndex((file) => file !== null);
    if (at < 0) throw new NotApplicable('packages are not kept by rpm');
    if (volumes !== undefined) {
      throw new ProbeFailure('rpm is asked on a running system only: packages were not looked at');
    }
    const { exitStatus, err } = await run(ARGV);
    const findings = judgeRpm(err, RPM_DATABASES[at]!);
    if (findings.length === 0 && exitStatus !== 0) {
      throw new ProbeFailure(`rpm: ${err.trim().slice(0, 200)}`);
    }
    return { findings };
  },
};

/** Its exit status is 0 even where it could read only a part: its words count. */
export function judgeRpm(said: string, database: string): NewFinding[] {
  const lines = said.split('\n').filter((line) => DAMAGE.test(line));
  if (lines.length === 0) return [];
  return [
    {
      rule: 'pkg.rpm_db',
      severity: 'critical',
      subject: database,
      title:
        'rpm cannot read its record of installed packages: nothing can be installed or updated',
      evidence: [commandEvidence(ARGV.join(' '), lines.slice(0, LINES_SHOWN).join('\n'))],
      suggestion: { action: 'packages.repair', parameters: {} },
      byHand: 'Copy the folder of the database first; then rpmdb --rebuilddb.',
    },
  ];
}
