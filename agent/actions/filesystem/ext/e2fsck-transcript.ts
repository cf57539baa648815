/** One problem in e2fsck's own words, with what it answered itself. */
export interface Problem {
  text: string;
  answer: 'yes' | 'no' | null;
}

type Channel = 'out' | 'err';

const PROBLEM_MAX_CHARACTERS = 400;
const KEPT_PROBLEMS = 2_000;
const KEPT_ERRORS = 20;
const LINE_HEAD_CHARACTERS = 4_096;
const LINE_TAIL_CHARACTERS = 256;

/** Whole lines, from their start: names from the disk are never there. */
const NO_PROBLEM = [
  /^e2fsck \d/,
  /^Pass \d/,
  /^Overwriting existing filesystem; this can be undone/,
  /^\s+e2undo /,
  /^\S+: recovering journal$/,
  /^Warning: skipping journal recovery/,
  /^Restarting e2fsck/,
  /^Creating journal \(/,
  /^\S+: \*{5,} /,
  /^\*\*\* journal has been/,
  /^\S+: \d+\/\d+ files \(/,
  /^e2fsck: .*trying backup blocks\.\.\.$/,
];
const PROMPT = /\? (yes|no)$/;
/** Ends a problem that e2fsck does not ask about. */
const SETTLED = /(?:FIXED|IGNORED|CLEARED|RELOCATED|SALVAGED|RECREATED|ALLOCATED|CREATED)\.$/;
/** An offer to tidy up; a file system that gets it is healthy. */
const OFFER = /Optimize\? (?:yes|no)$/;
const INPUT_OUTPUT = /input\/output error|resulted in short (?:read|write)/i;
const OUT_OF_SPACE = /no space left on device/i;
const TOO_OLD = [
  /unsupported (?:read-only )?feature/i,
  /get a newer version of e2fsck/i,
  /filesystem revision too high/i,
  /unknown checksum algorithm/i,
  /unknown (?:incompatible|read-only) feature flag/i,
];
const BUSY = [
  / is mounted\.$/,
  /is in use\.$/,
  /device or resource busy/i,
  /opened exclusively by another program/i,
];

/**
 * Reads what e2fsck prints, as it comes, and keeps what it means. The wording is that of the C locale.
 * Names in it come from the disk; e2fsck has escaped their control characters, and so does this.
 */
export class E2fsckTranscript {
  problemCount = 0;
  readonly offers: string[] = [];
  /** What the tool said about itself, such as why it gave up. */
  readonly errors: string[] = [];
  /** Inodes it hooked into lost+found, by number. */
  readonly reconnected: number[] = [];
  /** Answers that removed a file, a folder or an entry. */
  removals = 0;
  usedBackupBlocks = false;
  journalLost = false;
  hasInputOutputError = false;
  isTooOld = false;
  isOutOfSpace = false;
  isBusy = false;
  private readonly found: Record<Channel, Problem[]> = { out: [], err: [] };
  private readonly rest = { out: new LongLine(), err: new LongLine() };
  private pending: string[] = [];

  /**
   * The first ones; `problemCount` counts all. In the same order each time: which of the two channels is read
   * first is chance.
   */
  get problems(): Problem[] {
    return [...this.found.out, ...this.found.err];
  }

  take(channel: Channel, bytes: Buffer): void {
    const [first, ...others] = bytes.toString('latin1').split('\n');
    this.rest[channel].append(first!);
    for (const part of others) {
      this.line(channel, this.rest[channel].take());
      this.rest[channel].append(part);
    }
  }

  end(): void {
    this.line('out', this.rest.out.take());
    this.line('err', this.rest.err.take());
    this.settle(null);
  }

  private line(channel: Channel, raw: string): void {
    const line = printable(raw);
    this.watch(line);
    if (line.startsWith('e2fsck: ') && !NO_PROBLEM.some((pattern) => pattern.test(line))) {
      if (this.errors.length < KEPT_ERRORS) this.errors.push(line.slice('e2fsck: '.length));
      return;
    }
    const isFrame = line.trim() === '' || NO_PROBLEM.some((pattern) => pattern.test(line));
    if (channel === 'err') {
      if (!isFrame) this.add('err', line.trim(), null);
      return;
    }
    if (isFrame) {
      this.settle(null);
      return;
    }
    this.pending.push(line.trim());
    const prompt = PROMPT.exec(line);
    if (prompt !== null) this.settle(prompt[1] as 'yes' | 'no');
    else if (SETTLED.test(line)) this.settle(null);
  }

  private watch(whole: string): void {
    const line = withoutNames(whole);
    this.usedBackupBlocks ||= line.endsWith('trying backup blocks...');
    this.journalLost ||= line.startsWith('*** journal has been deleted ***');
    this.hasInputOutputError ||= INPUT_OUTPUT.test(line);
    this.isOutOfSpace ||= OUT_OF_SPACE.test(line);
    this.isTooOld ||= TOO_OLD.some((pattern) => pattern.test(line));
    this.isBusy ||= BUSY.some((pattern) => pattern.test(line));
  }

  private settle(answer: Problem['answer']): void {
    const text = this.pending.join(' ');
    const last = this.pending.at(-1) ?? '';
    this.pending = [];
    if (text === '') return;
    if (OFFER.test(last)) {
      if (this.offers.length < KEPT_ERRORS) this.offers.push(text);
      return;
    }
    this.add('out', text, answer);
    if (answer === 'yes') this.count(text, last);
  }

  private add(channel: Channel, text: string, answer: Problem['answer']): void {
    this.problemCount++;
    if (this.found[channel].length >= KEPT_PROBLEMS) return;
    const short = text.replace(/\s+/g, ' ').slice(0, PROBLEM_MAX_CHARACTERS);
    this.found[channel].push({ text: short, answer });
  }

  private count(text: string, last: string): void {
    if (last.endsWith('Connect to /lost+found? yes')) {
      const inode = /inode (\d+)/.exec(text)?.[1];
      if (inode !== undefined) this.reconnected.push(Number(inode));
    }
    if (/(?:Clear|Clear inode|Delete file|Truncate)\? yes$/.test(last)) this.removals++;
  }
}

/** A line that comes in parts, of which only beginning and end are kept when it is very long. */
class LongLine {
  private head = '';
  private tail = '';

  append(part: string): void {
    const room = LINE_HEAD_CHARACTERS - this.head.length;
    this.head += part.slice(0, room);
    this.tail = (this.tail + part.slice(room)).slice(-LINE_TAIL_CHARACTERS);
  }

  take(): string {
    const line = this.head + this.tail;
    this.head = '';
    this.tail = '';
    return line;
  }
}

/** Names come from the disk and could read like anything. */
function withoutNames(line: string): string {
  return line.replace(/(?:'|\(\/).*$/, '');
}

/** Without characters that a terminal or a reader would act on. */
function printable(text: string): string {
  // oxlint-disable-next-line no-control-regex -- these are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, '?').replaceAll('\t', ' ');
}
