import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';

export const commandRunParameters = z.strictObject({
  argv: z
    .array(
      z
        .string()
        .max(32 * 1024)
        .refine((word) => !word.includes('\0'), 'contains NUL'),
    )
    .min(1)
    .max(256)
    .refine((argv) => argv[0] !== '', 'names no program')
    .describe('program and arguments, one word each; no shell reads them'),
  directory: absolutePath.optional().describe('working directory'),
});

export const commandRunResult = z.strictObject({
  exitStatus: z.int().min(0).max(255).nullable(),
  signal: z.string().nullable(),
});

/** One command as root, for what no action covers. Class C: it is as good as root itself. */
export const commandRun: ActionDeclaration = {
  id: 'command.run',
  version: 1,
  title: 'Run a command',
  sentence: 'Run one command as the administrator of your server.',
  class: 'C',
  planClass: 'C',
  plans: false,
  changes: true,
  undo: 'none',
  parameters: commandRunParameters,
  result: commandRunResult,
  bringsIn: [],
  sealedInputs: ['stdin'],
  interrupt: 'now',
  usualDuration: 'depends on the command',
  capabilities: ['host', 'network', 'runs-target-programs'],
};
