import { fitWidth } from './display-width.ts';
import type { Surroundings } from '../surroundings.ts';
import type { Terminal } from './terminal.ts';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
const BAR_CELLS = 12;
const PARTS = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/**
 * The line at the bottom of a terminal that shows what goes on. Does nothing where stderr is no terminal.
 * It is cleared before other text is written and drawn again after, so that it never mixes with data.
 */
export class StatusLine {
  private readonly terminal: Terminal;
  private readonly text: () => string;
  private readonly timer: NodeJS.Timeout | null;
  private frame = 0;
  private isDrawn = false;
  private isPaused = false;

  /** @param text what to show now, without control characters; one line, cut to the terminal's width */
  constructor(terminal: Terminal, text: () => string) {
    this.terminal = terminal;
    this.text = text;
    this.timer = terminal.talkIsTty
      ? setInterval(() => {
          this.frame++;
          this.draw();
        }, FRAME_MS)
      : null;
    this.timer?.unref();
    if (this.timer) terminal.attachStatusLine(this);
  }

  draw(): void {
    if (this.timer === null || this.isPaused) return;
    const spinner = FRAMES[this.frame % FRAMES.length];
    const line = fitWidth(`${spinner} ${this.text()}`, this.terminal.talkColumns - 1);
    // Drawn in one write: return to the start of the line, the text, erase what was longer.
    this.terminal.writeControl(`\r${this.terminal.renderTalk([line])}\u001b[K`);
    this.isDrawn = true;
  }

  clear(): void {
    if (!this.isDrawn) return;
    this.terminal.writeControl('\r\u001b[K');
    this.isDrawn = false;
  }

  /** While somebody is asked on the line it would be drawn on. */
  pause(isPaused: boolean): void {
    this.isPaused = isPaused;
    if (isPaused) this.clear();
  }

  stop(): void {
    if (this.timer === null) return;
    clearInterval(this.timer);
    this.terminal.attachStatusLine(null);
  }
}

/** `███████▊····  62 %`; without a percentage nothing is claimed. */
export function progressBar(percent: number): string {
  const bounded = Math.min(100, Math.max(0, percent));
  const eighths = Math.round((bounded / 100) * BAR_CELLS * 8);
  const full = Math.floor(eighths / 8);
  const part = eighths % 8 === 0 ? '' : (PARTS[eighths % 8] ?? '');
  return (
    `${'█'.repeat(full)}${part}`.padEnd(BAR_CELLS, '·') + ` ${Math.floor(bounded)} %`.padStart(6)
  );
}

/** Shows a spinner while something is waited for; lines for the person stay possible meanwhile. */
export async function withStatus<T>(
  terminal: Terminal,
  surroundings: Pick<Surroundings, 'now'>,
  text: (elapsedMs: number) => string,
  work: () => Promise<T>,
): Promise<T> {
  const began = surroundings.now();
  const line = new StatusLine(terminal, () => text(surroundings.now() - began));
  try {
    return await work();
  } finally {
    line.stop();
  }
}
