import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';

/** A boot that ended so soon did not serve anybody. */
const SHORT_MS = 5 * 60_000;
/** So long after its end the next one is somebody's wish. */
const PAUSE_MAX_MS = 10 * 60_000;
const BOOTS_MIN = 3;
const LINES_SHOWN = 5;

/** Whether the system has started over and over, as the boots that the journal knows tell. */
export const bootLoop: Probe = {
  id: 'log.boot-loop',
  area: 'log',
  offline: true,
  limitMs: 3_000,
  async look({ files, run }) {
    if ((await files.stat('/var/log/journal')) === null) {
      throw new NotApplicable('no journal outlives a boot');
    }
    const argv = ['journalctl', '--list-boots', '--no-pager', '--quiet', '--utc'];
    const isRunning = files.root === '/';
    if (!isRunning) argv.push(`--directory=${files.root}/var/log/journal`);
    const { out } = await run(argv);
    return { findings: judgeBoots(out, isRunning) };
  },
};

interface Boot {
  line: string;
  began: number;
  ended: number;
}

/**
 * @param text of journalctl(1) `--list-boots --utc`, the oldest first
 * @param isRunning the last one has not ended
 */
export function judgeBoots(text: string, isRunning: boolean): NewFinding[] {
  const boots = text.split('\n').flatMap((line) => parseBoot(line) ?? []);
  const ended = isRunning ? boots.slice(0, -1) : boots;
  let first = ended.length;
  while (first > 0 && isShort(ended[first - 1]!) && isSoon(ended[first - 1]!, boots[first])) {
    first--;
  }
  const short = ended.slice(first);
  if (short.length < BOOTS_MIN) return [];
  return [
    {
      rule: 'log.boot_loop',
      severity: 'warning',
      subject: 'boots',
      title: `The system has started ${short.length} times in a row and never ran for five minutes`,
      evidence: [
        commandEvidence(
          'journalctl --list-boots',
          short
            .slice(-LINES_SHOWN)
            .map(({ line }) => line)
            .join('\n'),
        ),
      ],
      suggestion: null,
      byHand: 'Read how the boots ended: journalctl --boot=-1 --lines=100.',
    },
  ];
}

const isShort = ({ began, ended }: Boot) => ended - began < SHORT_MS;
const isSoon = ({ ended }: Boot, next: Boot | undefined) =>
  next === undefined || next.began - ended < PAUSE_MAX_MS;

/** Before systemd 250 a dash stands between the two times. */
function parseBoot(line: string): Boot | null {
  const time = String.raw`\w{3} (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC`;
  const [, began, ended] =
    new RegExp(String.raw`^\s*-?\d+ [0-9a-f]{32} ${time}(?: |—)${time}`).exec(line) ?? [];
  if (began === undefined || ended === undefined) return null;
  return { line: line.trim(), began: Date.parse(`${began}Z`), ended: Date.parse(`${ended}Z`) };
}
