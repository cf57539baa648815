import { fileEvidence } from '../finding.ts';
import { nothingFound, type Probe, type ProbeContext } from '../probe.ts';

const KEEPERS = ['systemd-timesyncd', 'chrony', 'chronyd', 'ntp', 'ntpd', 'ntpsec', 'openntpd'];
const CGROUPS = ['/sys/fs/cgroup/system.slice', '/sys/fs/cgroup/systemd/system.slice'];
const SYNCHRONIZED = '/run/systemd/timesync/synchronized';

/** Whether something keeps the clock right, told from the control groups: nobody is asked. */
export const clock: Probe = {
  id: 'time.keeper',
  area: 'time',
  limitMs: 1_000,
  async look(context) {
    const keeper = await runningKeeper(context);
    const isUnsure = keeper === 'systemd-timesyncd' && !(await hasSynchronized(context));
    if (keeper !== null && !isUnsure) return nothingFound;
    return {
      findings: [
        {
          rule: 'time.unsynced',
          severity: 'warning',
          subject: 'clock',
          title:
            keeper === null
              ? 'Nothing keeps the clock of the server right'
              : 'The clock has not been compared with any other since the boot',
          evidence: [
            keeper === null
              ? fileEvidence(CGROUPS[0]!, null, `none of ${KEEPERS.join(', ')} runs`)
              : fileEvidence(SYNCHRONIZED, null, 'not there'),
          ],
          suggestion: null,
          byHand:
            keeper === null
              ? 'Install and start chrony or systemd-timesyncd; certificates and logs depend on the time.'
              : 'timedatectl timesync-status shows which server does not answer.',
        },
      ],
    };
  },
};

async function runningKeeper({ files }: ProbeContext): Promise<string | null> {
  for (const group of CGROUPS) {
    const names = await files.list(group);
    for (const keeper of KEEPERS) {
      if (!names.includes(`${keeper}.service`)) continue;
      const processes = await files.read(`${group}/${keeper}.service/cgroup.procs`);
      if ((processes ?? '').trim() !== '') return keeper;
    }
  }
  return null;
}

async function hasSynchronized({ files }: ProbeContext): Promise<boolean> {
  return (await files.stat(SYNCHRONIZED)) !== null;
}
