import { spawn } from '@lydell/node-pty';
import type { IPty } from '@lydell/node-pty';
import { eventually } from './process.ts';

/** A person at a real terminal: a program on a pty, typed into and looked at. */
export class PersonAtTerminal {
  /** All that was shown, raw. */
  shown = '';
  exitStatus: number | null = null;
  private readonly pty: IPty;
  private at = 0;

  constructor(argv: readonly string[], environment: Record<string, string>) {
    const { PATH = '', HOME = '' } = process.env;
    this.pty = spawn(argv[0]!, argv.slice(1), {
      name: 'xterm-256color',
      cols: 80,
      rows: 24,
      env: { PATH, HOME, ...environment },
    });
    this.pty.onData((text) => {
      this.shown += text;
    });
    this.pty.onExit(({ exitCode }) => {
      this.exitStatus = exitCode;
    });
  }

  get pid(): number {
    return this.pty.pid;
  }

  type(text: string): void {
    this.pty.write(text);
  }

  resize(columns: number, rows: number): void {
    this.pty.resize(columns, rows);
  }

  kill(signal: string): void {
    this.pty.kill(signal);
  }

  /** Waits until something is shown that was not waited for before. */
  async sees(wanted: string | RegExp, timeoutMs = 30_000): Promise<string> {
    try {
      return await eventually(
        `seen ${wanted}`,
        () => {
          const rest = this.shown.slice(this.at);
          const text = typeof wanted === 'string' ? wanted : wanted.exec(rest)?.[0];
          if (text === undefined || !rest.includes(text)) return null;
          this.at += rest.indexOf(text) + text.length;
          return text;
        },
        timeoutMs,
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}; shown: ${JSON.stringify(this.shown)}`, {
        cause: error,
      });
    }
  }

  async ends(timeoutMs = 30_000): Promise<number> {
    await eventually('the program ends', () => this.exitStatus !== null, timeoutMs);
    return this.exitStatus!;
  }

  close(): void {
    if (this.exitStatus === null) this.pty.kill('SIGKILL');
  }
}
