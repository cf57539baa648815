import { z } from 'zod';
import { sessionKey } from '../documents/fields.ts';
import type { ActionDeclaration } from './declaration.ts';

/** Rows or columns of a screen: what `struct winsize` takes, and no screen has more. */
export const terminalSize = z.int().min(1).max(2000);

export const terminalOpenParameters = z.strictObject({
  /** The engineer's half of the session's key; see `proto/terminal`. */
  sessionKey: sessionKey.describe('public X25519 key of the session; intervene terminal makes it'),
  user: z
    .string()
    .regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/)
    .default('root')
    .describe('whose shell it is'),
  term: z
    .string()
    .regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/)
    .default('xterm-256color')
    .describe('what kind of terminal the engineer has'),
  rows: terminalSize.default(24).describe('height of the screen in lines'),
  columns: terminalSize.default(80).describe('width of the screen in characters'),
  idleSeconds: z
    .int()
    .min(10)
    .max(24 * 3600)
    .default(15 * 60)
    .describe('the session ends when nothing was typed or shown for so long'),
});
export type TerminalOpenParameters = z.output<typeof terminalOpenParameters>;

/**
 * How a session ended: the shell by itself, the engineer who left, nobody there for too long, frames on
 * the way to it that were not the engineer's, or an order to stop.
 */
export const terminalEnd = z.enum(['shell_ended', 'closed', 'idle', 'tampered', 'stopped']);
export type TerminalEnd = z.output<typeof terminalEnd>;

export const terminalOpenResult = z.strictObject({
  end: terminalEnd,
  exitStatus: z.int().min(0).max(255).nullable(),
  signal: z.string().nullable(),
  /** How often the engineer's program attached: once, and after each lost connection. */
  attachments: z.int().min(0),
  inputBytes: z.int().min(0),
  outputBytes: z.int().min(0),
  /** Whether what was typed stands in the recording too; the server's policy says so. */
  inputRecorded: z.boolean(),
});
export type TerminalOpenResult = z.output<typeof terminalOpenResult>;

/** A shell of its own for the engineer. Class C: whoever types there can do everything. */
export const terminalOpen: ActionDeclaration = {
  id: 'terminal.open',
  version: 1,
  title: 'Open a terminal',
  sentence: 'Type commands on your server. The screen is recorded, and you can watch and end it.',
  class: 'C',
  planClass: 'C',
  plans: false,
  changes: true,
  undo: 'none',
  parameters: terminalOpenParameters,
  result: terminalOpenResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'now',
  usualDuration: 'as long as the engineer works',
  capabilities: ['host', 'network', 'runs-target-programs'],
  interactive: true,
};
