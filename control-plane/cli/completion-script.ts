import { actions } from '../../proto/actions/catalogue.ts';
import {
  allCommands,
  commonOptions,
  groups,
  passphraseOption,
} from './declarations/all-commands.ts';

interface Node {
  /** Words of the command so far: `jobs show`; empty for the program itself. */
  path: string;
  words: string[];
  options: string[];
  /** Options whose value is one of a few. */
  choices: { option: string; values: readonly string[] }[];
  /** Whether the word after the server is an action. */
  takesAction: boolean;
}

/** What may follow each command, for all three shells alike. */
function nodes(): Node[] {
  const top = firstWords();
  return [
    { path: '', words: top, options: ['--help'], choices: [], takesAction: false },
    ...groups.map((group) => ({
      path: group.name,
      words: allCommands
        .filter((command) => command.name.startsWith(`${group.name} `))
        .map((command) => command.name.split(' ')[1] ?? ''),
      options: ['--help'],
      choices: [],
      takesAction: false,
    })),
    ...allCommands.map((command) => ({
      path: command.name,
      words: wordsAfter(command.name),
      options: [
        ...(command.options ?? []),
        ...(command.signs ? [passphraseOption] : []),
        ...commonOptions,
        { flags: '--help' },
      ].map((option) => longFlag(option.flags)),
      choices: (command.options ?? []).flatMap(({ flags, choices }) =>
        choices === undefined ? [] : [{ option: longFlag(flags), values: choices }],
      ),
      takesAction: /^<server> .action./.test(command.args ?? ''),
    })),
  ];
}

function firstWords(): string[] {
  return [...new Set(allCommands.map((command) => command.name.split(' ')[0] ?? ''))];
}

function longFlag(flags: string): string {
  return flags.split(' ')[0] ?? '';
}

/** Options whose next word is their value, wherever they stand. */
function optionsWithValue(): string[] {
  const all = [
    ...allCommands.flatMap((command) => command.options ?? []),
    ...commonOptions,
    passphraseOption,
  ];
  return [
    ...new Set(all.filter(({ flags }) => flags.includes('<')).map(({ flags }) => longFlag(flags))),
  ];
}

function wordsAfter(name: string): string[] {
  if (name === 'completion') return ['bash', 'zsh', 'fish'];
  if (name === 'help') return ['exit-codes', ...firstWords()];
  return name === 'actions' ? actions.map((action) => action.id) : [];
}

export function bashCompletion(): string {
  const choices = nodes().flatMap((node) =>
    node.choices.map(
      ({ option, values }) => `    '${node.path} ${option}') words='${values.join(' ')}' ;;`,
    ),
  );
  const cases = nodes().map(
    ({ path, words, options }) =>
      `    '${path}') words='${words.join(' ')}'; options='${options.join(' ')}' ;;`,
  );
  return `# Completion of intervene for bash.
_intervene() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' words='' options='' at count=0 word before=''
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    case "$word" in
      ${optionsWithValue().join('|')}) before=$word; at=$((at + 1)); continue ;;
      -*) continue ;;
    esac
    case "$path" in
      ${groups.map((group) => `'${group.name}'`).join('|')}) path="$path $word" ;;
      '') path=$word ;;
      *) count=$((count + 1)) ;;
    esac
  done
  case "$path" in
${cases.join('\n')}
  esac
  case "$path" in
    ${actionPaths()}) [[ $count -eq 1 ]] && words='${actionIds()}' ;;
  esac
  if [[ $current == -* ]]; then words=$options; fi
  # The value of an option: one of its few, or whatever the shell offers by itself.
  if ((at > COMP_CWORD)); then
    words=''
    case "$path $before" in
${choices.join('\n')}
    esac
  fi
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _intervene intervene
`;
}

export function zshCompletion(): string {
  return `#compdef intervene
# Completion of intervene for zsh, by way of its support for bash functions.
autoload -U +X bashcompinit && bashcompinit
${bashCompletion().replace(
  'mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")',
  'COMPREPLY=($(compgen -W "$words" -- "$current"))',
)}`;
}

export function fishCompletion(): string {
  const lines = nodes().flatMap(({ path, words, options, choices, takesAction }) => {
    const condition =
      path === ''
        ? '__fish_use_subcommand'
        : path
            .split(' ')
            .map((word) => `__fish_seen_subcommand_from ${word}`)
            .join('; and ');
    return [
      ...(words.length > 0
        ? [`complete -c intervene -f -n '${condition}' -a '${words.join(' ')}'`]
        : []),
      ...options.map((option) => {
        const values = choices.find((choice) => choice.option === option)?.values;
        const list = values === undefined ? '' : ` -x -a '${values.join(' ')}'`;
        return `complete -c intervene -n '${condition}' -l ${option.slice(2)}${list}`;
      }),
      ...(takesAction ? [`complete -c intervene -n '${condition}' -a '${actionIds()}'`] : []),
    ];
  });
  return `# Completion of intervene for fish.\n${lines.join('\n')}\n`;
}

function actionPaths(): string {
  return nodes()
    .filter((node) => node.takesAction)
    .map((node) => `'${node.path}'`)
    .join('|');
}

function actionIds(): string {
  return actions.map((action) => action.id).join(' ');
}
