import type { CommandContext } from './command-context.ts';

/** Carries out a command. Returns the exit status; nothing means success. */
export type CommandHandler<Options = never> = (
  context: CommandContext,
  args: string[],
  options: Options,
) => Promise<number | void>;

export interface OptionDeclaration {
  /** As commander reads them: `--for <duration>`. */
  flags: string;
  text: string;
  /** May be given several times; the handler gets a list. */
  many?: true;
  required?: true;
  choices?: readonly string[];
  /** Whole number, 0 or more. */
  integer?: true;
}

/** A command as help, completion and the parser see it. Its code is loaded when it is called. */
export interface CommandDeclaration {
  /** `servers add`: the group, if any, and the verb. */
  name: string;
  /** As commander reads them: `<server> [words...]`. */
  args?: string;
  summary: string;
  examples: readonly [string, string];
  options?: readonly OptionDeclaration[];
  /** Whether it may open a key, and so takes `--passphrase-file`. */
  signs?: true;
  load: () => Promise<CommandHandler>;
}

/** Several commands under one word. */
export interface GroupDeclaration {
  name: string;
  summary: string;
  examples: readonly [string, string];
  /** Verbs that people know from other programs, with what does it here. */
  otherWords?: Readonly<Record<string, string>>;
}
