import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { usageError } from './cli-error.ts';
import { CommandContext } from './command-context.ts';
import type { CommonOptions } from './command-context.ts';
import type { CommandDeclaration, CommandHandler, OptionDeclaration } from './declaration.ts';
import {
  allCommands,
  commonOptions,
  groups,
  passphraseOption,
} from './declarations/all-commands.ts';
import { reportError } from './output/error-report.ts';
import { suggest } from './output/suggestion.ts';
import { Terminal } from './output/terminal.ts';
import type { Surroundings } from './surroundings.ts';

const ROOT_EXAMPLES = [
  'intervene servers list',
  'intervene run web-04 filesystem.check --param device=/dev/sda2',
] as const;

/** Runs one command line to its end; returns the exit status. Never throws. */
export async function runProgram(
  argv: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  let status = 0;
  const program = buildProgram(surroundings, (result) => {
    status = result;
  });
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError && error.exitCode === 0) return 0;
    const separator = argv.indexOf('--');
    const flags = separator === -1 ? argv : argv.slice(0, separator);
    const terminal = new Terminal(surroundings, {
      json: flags.includes('--json'),
      color: !flags.includes('--no-color'),
      profile: program.opts<CommonOptions>().profile ?? surroundings.profile,
    });
    return reportError(
      terminal,
      error instanceof CommanderError ? describeUsage(error, program, argv) : error,
    );
  }
}

/** The whole program as commander knows it. `finish` gets the exit status of the command that ran. */
export function buildProgram(
  surroundings: Surroundings,
  finish: (status: number) => void,
): Command {
  const program = configure(new Command('intervene'), surroundings)
    .description('Authorized, verifiable interventions on servers.')
    .version(surroundings.version, '--version', 'print the version')
    .addHelpText('before', examplesText(ROOT_EXAMPLES))
    .helpCommand(false);
  // Recognised before and after the command's words, as people type them.
  for (const option of commonOptions) program.addOption(new Option(option.flags, option.text));
  for (const group of groups) {
    configure(program.command(group.name), surroundings)
      .description(group.summary)
      .addHelpText('before', examplesText(group.examples))
      .helpCommand(false);
  }
  for (const declaration of allCommands) declare(program, declaration, surroundings, finish);
  return program;
}

function declare(
  program: Command,
  declaration: CommandDeclaration,
  surroundings: Surroundings,
  finish: (status: number) => void,
): void {
  const words = declaration.name.split(' ');
  const verb = words.at(-1) ?? '';
  const parent =
    words.length === 1 ? program : program.commands.find((group) => group.name() === words[0]);
  if (parent === undefined) throw new Error(`no group for ${declaration.name}`);
  const command = configure(
    parent.command(`${verb}${declaration.args === undefined ? '' : ` ${declaration.args}`}`),
    surroundings,
  )
    .description(declaration.summary)
    .addHelpText('before', examplesText(declaration.examples));
  for (const option of declaration.options ?? []) command.addOption(asOption(option));
  if (declaration.signs) {
    command.addOption(new Option(passphraseOption.flags, passphraseOption.text));
  }
  command.action(async () => {
    const options = command.optsWithGlobals<CommonOptions>();
    const context = new CommandContext(surroundings, options);
    try {
      const handler = (await declaration.load()) as CommandHandler<unknown>;
      finish((await handler(context, positionals(command), withoutUndecided(command))) ?? 0);
    } finally {
      context.close();
    }
  });
}

function configure(command: Command, surroundings: Surroundings): Command {
  return command
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => void surroundings.stdout.write(text),
      writeErr: () => {},
      getOutHelpWidth: () => surroundings.stdout.columns || 80,
      getOutHasColors: () => false,
    });
}

function asOption(declaration: OptionDeclaration): Option {
  const option = new Option(declaration.flags, declaration.text);
  if (declaration.required) option.makeOptionMandatory();
  const { choices } = declaration;
  if (choices && !declaration.many) option.choices([...choices]);
  if (!option.required && !option.optional) return option;
  const read = declaration.integer
    ? readInteger
    : (value: string) => {
        if (choices && !choices.includes(value)) {
          throw new InvalidArgumentError(`Allowed choices are ${choices.join(', ')}.`);
        }
        return value;
      };
  option.argParser((value: string, before: unknown) => {
    if (declaration.many) return [...((before as unknown[] | undefined) ?? []), read(value)];
    if (before !== undefined)
      throw usageError(`${option.long} takes one value, and was given two.`);
    return read(value);
  });
  return option;
}

function readInteger(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError('Not a whole number.');
  return Number(value);
}

function positionals(command: Command): string[] {
  return command.processedArgs.flat().filter((word): word is string => typeof word === 'string');
}

/** `--no-wait` makes commander default `wait` to true; whoever said neither shall be told neither. */
function withoutUndecided(command: Command): Record<string, unknown> {
  const options = command.opts();
  const both = new Set(['wait', 'follow']);
  return Object.fromEntries(
    Object.entries(options).filter(
      ([name]) => !(both.has(name) && command.getOptionValueSource(name) === 'default'),
    ),
  );
}

function examplesText(examples: readonly [string, string]): string {
  return `Examples:\n${examples.map((example) => `  $ ${example}\n`).join('')}\n`.trimEnd() + '\n';
}

/** Commander's complaint in our own words, with one suggestion for a wrong word. */
function describeUsage(error: CommanderError, program: Command, argv: readonly string[]): Error {
  const message = error.message.replace(/^error: /, '').replace(/\n.*/s, '');
  const wrong = /'([^']*)'/.exec(message)?.[1] ?? '';
  const command = deepest(program, argv);
  const known =
    error.code === 'commander.unknownOption'
      ? [...command.options, ...program.options].flatMap(({ long }) => (long ? [long] : []))
      : command.commands.map((sub) => sub.name());
  const suggests = ['commander.unknownOption', 'commander.unknownCommand'].includes(error.code);
  const path = pathOf(command);
  const other =
    error.code === 'commander.unknownCommand'
      ? groups.find(({ name }) => path === `intervene ${name}`)?.otherWords
      : undefined;
  const own = other !== undefined && Object.hasOwn(other, wrong) ? other[wrong] : undefined;
  const meant = own ?? (suggests ? suggest(wrong, known) : null);
  const happened =
    error.code === 'commander.help' || message === '(outputHelp)'
      ? `${path} needs another word.`
      : `${message.slice(0, 1).toUpperCase()}${message.slice(1)}${/[.?]$/.test(message) ? '' : '.'}`;
  return usageError(`${happened}${meant === null ? '' : ` Did you mean ${meant}?`}`, [
    { label: '', command: `${path} --help` },
  ]);
}

function deepest(program: Command, argv: readonly string[]): Command {
  let command = program;
  for (let at = 0; at < argv.length; at++) {
    if (argv[at] === '--profile' || argv[at] === '--passphrase-file') {
      at++;
      continue;
    }
    const next = command.commands.find((sub) => sub.name() === argv[at]);
    if (next !== undefined) command = next;
    else if (!argv[at]?.startsWith('-')) break;
  }
  return command;
}

function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
