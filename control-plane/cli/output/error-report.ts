import { CliError } from '../cli-error.ts';
import type { NextStep } from '../cli-error.ts';
import { exitStatus } from '../exit-status.ts';
import { fileTrouble } from '../named-file.ts';
import { wrapText } from './display-width.ts';
import { issueSentences } from './issue-sentences.ts';
import { ownCommand } from './own-command.ts';
import { glyph, styled } from './terminal.ts';
import type { Terminal } from './terminal.ts';

const INDENT = 12;

/** Prints an error in its three parts, or as JSON, to stderr; returns the exit status. */
export function reportError(terminal: Terminal, error: unknown): number {
  const known = error instanceof CliError ? error : unexpected(error);
  if (terminal.json) {
    terminal.sayJson({
      error: {
        code: known.code,
        happened: known.message,
        safe: known.safe,
        next: known.next.map(({ label, command, byOther }) => ({
          label,
          command: byOther ? command : ownCommand(command, terminal.profile),
        })),
        exitStatus: known.exitStatus,
      },
    });
    return known.exitStatus;
  }
  if (known.exitStatus === exitStatus.left) {
    sayLeft(terminal, known);
    return known.exitStatus;
  }
  sayParts(
    terminal,
    `${known.code}, exit ${known.exitStatus}`,
    known.message,
    known.safe,
    known.next,
  );
  return known.exitStatus;
}

/** Leaving is no error: one line, and how to come back. */
function sayLeft(terminal: Terminal, { message, next }: CliError): void {
  terminal.say(message, styled('muted', `   exit ${exitStatus.left}`));
  if (next.length === 0) return;
  terminal.say(
    `  ${next.map((step) => `${step.label}: ${ownCommand(step.command, terminal.profile)}`).join('   ')}`,
  );
}

/** Happened, Safe, Next: the form of every bad news. */
export function sayParts(
  terminal: Terminal,
  title: string,
  happened: string,
  safe: string,
  next: readonly NextStep[],
): void {
  terminal.say(glyph('bad', '✗'), styled('bold', title));
  part('Happened', happened);
  part('Safe', safe);
  for (const [at, step] of next.entries()) {
    const label = step.label === '' ? [] : ['   ', styled('muted', `(${step.label})`)];
    const command = step.byOther ? step.command : ownCommand(step.command, terminal.profile);
    terminal.say(`  ${(at === 0 ? 'Next' : '').padEnd(INDENT - 2)}`, command, ...label);
  }

  function part(name: string, text: string): void {
    const lines = wrapText(text, Math.max(20, terminal.talkColumns - INDENT));
    for (const [at, line] of lines.entries()) {
      terminal.say(`  ${(at === 0 ? name : '').padEnd(INDENT - 2)}`, line);
    }
  }
}

function unexpected(error: unknown): CliError {
  const system = error as NodeJS.ErrnoException;
  const isSystem = error instanceof Error && typeof system.syscall === 'string';
  return new CliError({
    code: isSystem ? 'system_error' : 'internal_error',
    happened: isSystem
      ? `${system.path ?? system.syscall}: ${fileTrouble(system)}.`
      : `This program met what it did not expect: ${messageOf(error)}`,
    safe: 'What was already sent is not undone; see the jobs.',
    next: [{ label: 'see what runs', command: 'intervene jobs list' }],
    exitStatus: exitStatus.failed,
    cause: error,
  });
}

/** The message of a ZodError is JSON, for programs. */
function messageOf(error: unknown): string {
  return issueSentences(error) ?? (error instanceof Error ? error.message : String(error));
}
