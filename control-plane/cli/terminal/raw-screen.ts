import { spawnSync } from 'node:child_process';
import type { ScreenSize } from '../../../proto/terminal/messages.ts';
import type { Terminal } from '../output/terminal.ts';
import type { InputStream, OutputStream, Surroundings } from '../surroundings.ts';
import type { Screen } from './terminal-client.ts';

/** Undoes what programs on a server may leave a terminal in: mouse, paste brackets, keypad, hidden cursor. */
const RESET = '\u001b[?1000;1002;1003;1006;2004l\u001b[?1l\u001b>\u001b[?25h\u001b[0m';
const ALTERNATE_SCREEN = /\[\?(?:1049|1047|47)([hl])/g;
const LEAVE_ALTERNATE_SCREEN = '\u001b[?1049l';
const SIZE_MAX = 2000;

/**
 * The person's terminal while a shell is shown on it: raw, so that every key goes to the server. `restore`
 * gives it back, and is called when the process ends, however it does.
 */
export class RawScreen implements Screen {
  private readonly surroundings: Surroundings;
  private readonly terminal: Terminal;
  private readonly undo: (() => void)[] = [];
  private isAlternate = false;
  private isRestored = false;

  constructor(surroundings: Surroundings, terminal: Terminal) {
    this.surroundings = surroundings;
    this.terminal = terminal;
    const restore = () => this.restore();
    process.on('exit', restore);
    this.undo.push(() => process.off('exit', restore));
    surroundings.stdin.setRawMode?.(true);
    leaveOutputAsItIs(surroundings.stdin);
  }

  get size(): ScreenSize {
    return screenSize(this.surroundings.stdout);
  }

  onTyped(listener: (bytes: Buffer) => void): void {
    const { stdin } = this.surroundings;
    const take = (data: Buffer | string) => listener(Buffer.from(data as string));
    stdin.on('data', take);
    stdin.resume();
    this.undo.push(() => {
      stdin.off('data', take);
      stdin.pause();
    });
  }

  onResize(listener: () => void): void {
    const { stdout } = this.surroundings;
    stdout.on('resize', listener);
    this.undo.push(() => stdout.off('resize', listener));
  }

  pauseTyping(): void {
    this.surroundings.stdin.pause();
  }

  resumeTyping(): void {
    if (!this.isRestored) this.surroundings.stdin.resume();
  }

  show(bytes: Buffer): boolean {
    for (const [, mode] of bytes.toString('latin1').matchAll(ALTERNATE_SCREEN)) {
      this.isAlternate = mode === 'h';
    }
    return this.surroundings.stdout.write(bytes);
  }

  onRoom(listener: () => void): void {
    const { stdout } = this.surroundings;
    stdout.on('drain', listener);
    this.undo.push(() => stdout.off('drain', listener));
  }

  say(text: string): void {
    this.terminal.writeControl(`\r\n${this.terminal.renderTalk([text])}\r\n`);
  }

  restore(): void {
    if (this.isRestored) return;
    this.isRestored = true;
    for (const undo of this.undo) undo();
    this.surroundings.stdout.write((this.isAlternate ? LEAVE_ALTERNATE_SCREEN : '') + RESET);
    this.surroundings.stdin.setRawMode?.(false);
  }
}

/**
 * Node's raw mode still adds a carriage return to each line feed (libuv, `uv_tty_set_mode`), which moves
 * the cursor of programs that only meant down. Leaving raw mode takes this back, too.
 */
function leaveOutputAsItIs(stdin: InputStream): void {
  const { fd } = stdin as { fd?: number };
  if (fd !== undefined) spawnSync('stty', ['-opost'], { stdio: [fd, 'ignore', 'ignore'] });
}

/** A terminal that does not know its size says 0 (ioctl_tty(2), TIOCGWINSZ): then the usual one. */
export function screenSize({ rows = 0, columns = 0 }: OutputStream): ScreenSize {
  return { rows: bounded(rows, 24), columns: bounded(columns, 80) };
}

function bounded(count: number, usual: number): number {
  return count > 0 ? Math.min(SIZE_MAX, count) : usual;
}
