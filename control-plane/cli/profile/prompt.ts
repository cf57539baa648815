import { CliError, usageError } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import type { Terminal, Piece } from '../output/terminal.ts';
import type { Surroundings } from '../surroundings.ts';

/** Asks the person at the terminal. Every question has a flag that answers it without a terminal. */
export class Prompt {
  private readonly terminal: Terminal;
  private readonly surroundings: Pick<Surroundings, 'stdin'>;
  private readonly allowed: boolean;

  constructor(
    terminal: Terminal,
    surroundings: Pick<Surroundings, 'stdin'>,
    options: { input: boolean },
  ) {
    this.terminal = terminal;
    this.surroundings = surroundings;
    this.allowed = options.input;
  }

  /** Whether somebody is there to answer. */
  get isPossible(): boolean {
    return this.allowed && this.surroundings.stdin.isTTY === true && this.terminal.talkIsTty;
  }

  /** One line of answer. Throws CliError, naming `flag`, when nobody can be asked. */
  async ask(question: Piece[], flag: string, over?: AbortSignal): Promise<string> {
    this.requirePossible(flag);
    return this.readLine(question, true, over);
  }

  /** Like `ask`, without showing what is typed. */
  async askHidden(question: Piece[], flag: string): Promise<string> {
    this.requirePossible(flag);
    return this.readLine(question, false);
  }

  /** Yes or no; Enter alone is no. `over` ends a question that nobody needs an answer to any more. */
  async confirm(question: Piece[], flag: string, over?: AbortSignal): Promise<boolean> {
    const answer = (await this.ask([...question, ' [y/N] '], flag, over)).trim().toLowerCase();
    return answer === 'y' || answer === 'yes';
  }

  /** One of several words, asked again until it is one; there is no default. */
  async choose<T extends string>(question: string, words: readonly T[], flag: string): Promise<T> {
    for (;;) {
      const answer = await this.ask([`${question} [${words.join('/')}] `], flag);
      const wanted = answer.trim().toLowerCase();
      const found =
        words.find((word) => word === wanted) ??
        (wanted === '' ? undefined : onlyOne(words.filter((word) => word.startsWith(wanted))));
      if (found !== undefined) return found;
      this.terminal.say(`Please answer ${words.join(' or ')}.`);
    }
  }

  private requirePossible(flag: string): void {
    if (this.isPossible) return;
    throw usageError(
      'This needs an answer, and there is no terminal to ask at.',
      [{ label: 'answer it with a flag', command: flag }],
      'needs_answer',
    );
  }

  private readLine(question: Piece[], echo: boolean, over?: AbortSignal): Promise<string> {
    const { stdin } = this.surroundings;
    // Before the question is seen: who answers at once must not be echoed by the terminal either.
    stdin.setRawMode?.(true);
    this.terminal.writeControl(this.terminal.renderTalk(question));
    return new Promise<string>((resolve, reject) => {
      const typed: string[] = [];
      const finish = (settle: () => void) => {
        stdin.setRawMode?.(false);
        stdin.pause();
        stdin.off('data', onData).off('end', onEnd);
        over?.removeEventListener('abort', onEnd);
        this.terminal.writeControl('\n');
        settle();
      };
      const onEnd = () => finish(() => reject(noAnswer()));
      const onData = (data: Buffer | string) => {
        let rest = String(data);
        for (const character of rest) {
          rest = rest.slice(character.length);
          if (character === '\r' || character === '\n') {
            finish(() => resolve(typed.join('')));
            // Typed ahead: that answers the next question.
            if (rest !== '') stdin.unshift(Buffer.from(rest));
            return;
          }
          if (character === '\u0003') {
            finish(() => reject(left()));
            return;
          }
          if (character === '\u0004' && typed.length === 0) {
            finish(() => reject(noAnswer()));
            return;
          }
          if (character === '\u007f' || character === '\b') {
            if (typed.pop() !== undefined && echo) this.terminal.writeControl('\b \b');
          } else if (character === '\u0015') {
            if (echo) this.terminal.writeControl('\b \b'.repeat(typed.length));
            typed.length = 0;
          } else if (character >= ' ' && typed.length < 1024) {
            typed.push(character);
            if (echo) this.terminal.writeControl(this.terminal.renderTalk([character]));
          }
        }
      };
      stdin.on('data', onData).on('end', onEnd);
      over?.addEventListener('abort', onEnd);
      stdin.resume();
      if (over?.aborted === true) onEnd();
    });
  }
}

function noAnswer(): Error {
  return usageError('No answer was given.', [], 'no_answer');
}

/** Ctrl-C at a question. */
function left(): Error {
  return new CliError({
    code: 'left',
    happened: 'You left before answering.',
    exitStatus: exitStatus.left,
  });
}

function onlyOne<T>(items: readonly T[]): T | undefined {
  return items.length === 1 ? items[0] : undefined;
}
