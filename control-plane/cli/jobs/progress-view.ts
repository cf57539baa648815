import { guardPhases } from '../../../proto/actions/job.ts';
import type { JobBody, JobEventBody } from '../api/bodies.ts';
import { jobStateTexts } from '../output/job-states.ts';
import { progressBar } from '../output/status-line.ts';
import { glyph } from '../output/terminal.ts';
import type { Terminal } from '../output/terminal.ts';
import { formatDuration, formatElapsed } from '../output/time-text.ts';

/**
 * What a person sees of a job besides its log: each step that ended, and where it stands. On a terminal the
 * latter is the moving line; elsewhere a line for each phase and each tenth, and JSON lines for programs.
 */
export class ProgressView {
  private readonly terminal: Terminal;
  private readonly startedAt: number;
  private readonly jsonLines: boolean;
  private readonly now: () => number;
  /** Sequence of the newest event that was taken. */
  lastEvent = 0;
  private job: JobBody | null = null;
  private told = '';
  private state = '';
  private step: { number: number; description: string; at: number } | null = null;
  private steps = 0;

  constructor(terminal: Terminal, now: () => number, options: { jsonLines: boolean }) {
    this.terminal = terminal;
    this.now = now;
    this.jsonLines = options.jsonLines;
    this.startedAt = now();
  }

  /** The text of the moving line. */
  line(unfinishedLine: string): string {
    const elapsed = formatElapsed(this.now() - this.startedAt);
    const progress = this.job?.progress ?? null;
    const what = this.step
      ? `${this.step.number} ${this.step.description}`
      : (progress?.phase ?? this.stateWord());
    const waits = Object.values<string>(guardPhases).includes(progress?.phase ?? '');
    const percent = progress?.percent ?? null;
    return [
      waits ? progress!.text : what,
      ...(percent === null ? [] : [progressBar(percent)]),
      elapsed,
      ...(unfinishedLine === '' ? [] : [unfinishedLine]),
    ].join('  ');
  }

  update(job: JobBody): void {
    this.job = job;
    if (this.terminal.json) {
      if (this.jsonLines) this.tellPrograms(job);
    } else if (!this.terminal.talkIsTty) this.tellPlainly(job);
  }

  /** Journal records tell of steps; hostile log text cannot forge one. */
  takeEvents(events: readonly JobEventBody[]): void {
    for (const event of events) {
      if (event.sequence <= this.lastEvent) continue;
      this.lastEvent = event.sequence;
      if (event.kind === 'journal') this.takeJournal(event);
      if (event.kind === 'alarm' && !this.terminal.json) {
        this.terminal.say(glyph('bad', '!'), `Alarm: ${textOf(event.content, 'code')}`);
      }
    }
  }

  private takeJournal(event: JobEventBody): void {
    const content = (event.content['record'] ?? {}) as Record<string, unknown>;
    const at = typeof content['at'] === 'number' ? content['at'] : Date.parse(event.at);
    const type = textOf(content, 'type');
    if (type === 'step_started') {
      this.steps++;
      this.step = {
        number: this.steps,
        description: textOf(content, 'description') || textOf(content, 'step'),
        at,
      };
    } else if (type === 'step_ended' && this.step !== null) {
      const ok = content['ok'] === true;
      const took = formatDuration(at - this.step.at);
      const detail = textOf(content, 'detail');
      if (!this.terminal.json) {
        this.terminal.say(
          ok ? glyph('ok', '✓') : glyph('bad', '✗'),
          `${this.step.number} ${this.step.description}  ${took}${detail === '' ? '' : `  ${detail}`}`,
        );
      }
      this.step = null;
    }
  }

  private tellPrograms(job: JobBody): void {
    const head = { at: new Date(this.now()).toISOString(), job: job.id };
    if (job.state !== this.state) {
      this.state = job.state;
      void this.terminal.printJsonLine({ type: 'state', ...head, state: job.state });
    }
    const progress = JSON.stringify(job.progress);
    if (job.progress !== null && progress !== this.told) {
      this.told = progress;
      void this.terminal.printJsonLine({ type: 'progress', ...head, ...job.progress });
    }
  }

  private tellPlainly(job: JobBody): void {
    if (job.progress === null) return;
    const { phase, percent } = job.progress;
    const tenth = percent === null ? '' : ` ${Math.floor(percent / 10) * 10} %`;
    const line = `${phase}${tenth}`;
    if (line === this.told) return;
    this.told = line;
    this.terminal.say(line);
  }

  private stateWord(): string {
    return this.job === null ? 'Ordered' : jobStateTexts[this.job.state].word;
  }
}

function textOf(content: Record<string, unknown>, name: string): string {
  const value = content[name];
  return typeof value === 'string' ? value : '';
}
