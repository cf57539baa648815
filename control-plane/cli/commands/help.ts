import { usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatusMeanings } from '../exit-status.ts';
import { suggest } from '../output/suggestion.ts';
import { printTable } from '../output/table.ts';
import { buildProgram } from '../program.ts';

/** `intervene help [COMMAND | exit-codes]`. */
export async function help(context: CommandContext, words: string[]): Promise<void> {
  if (words[0] === 'exit-codes') {
    printExitCodes(context);
    return;
  }
  let command = buildProgram(context.surroundings, () => {});
  for (const word of words) {
    const next = command.commands.find((sub) => sub.name() === word);
    if (next === undefined) {
      const known = [...command.commands.map((sub) => sub.name()), 'exit-codes'];
      const meant = suggest(word, known);
      throw usageError(
        `There is no help on ${JSON.stringify(words.join(' '))}.${meant === null ? '' : ` Did you mean ${meant}?`}`,
        [{ label: '', command: 'intervene --help' }],
      );
    }
    command = next;
  }
  command.outputHelp();
}

function printExitCodes(context: CommandContext): void {
  const { terminal } = context;
  if (terminal.json) {
    terminal.printJson({
      items: exitStatusMeanings.map(([status, meaning]) => ({ status, meaning })),
      next: null,
    });
    return;
  }
  printTable(
    terminal,
    [
      { title: 'STATUS', cell: ([status]) => String(status), keep: true },
      { title: 'MEANS', cell: ([, meaning]) => meaning },
    ],
    exitStatusMeanings,
  );
}
