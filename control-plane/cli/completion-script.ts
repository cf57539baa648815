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
  /** Whether the word after the server is an action. */
  takesAction: boolean;
}

/** What may follow each command, for all three shells alike. */
function nodes(): Node[] {
  const top = [...new Set(allCommands.map((command) => command.name.split(' ')[0] ?? ''))];
  return [
    { path: '', words: top, options: ['--help'], takesAction: false },
    ...groups.map((group) => ({
      path: group.name,
      words: allCommands
        .filter((command) => command.name.startsWith(`${group.name} `))
        .map((command) => command.name.split(' ')[1] ?? ''),
      options: ['--help'],
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
      ].map((option) => option.flags.split(' ')[0] ?? ''),
      takesAction: command.args?.includes('<action>') === true,
    })),
  ];
}

function wordsAfter(name: string): string[] {
  if (name === 'completion') return ['bash', 'zsh', 'fish'];
  if (name === 'help') return ['exit-codes', ...allCommands.map((command) => command.name)];
  return name === 'actions' ? actions.map((action) => action.id) : [];
}

export function bashCompletion(): string {
  const cases = nodes().map(
    ({ path, words, options }) =>
      `    '${path}') words='${words.join(' ')}'; options='${options.join(' ')}' ;;`,
  );
  return `# Completion of intervene for bash.
_intervene() {
  local current=\${COMP_WORDS[COMP_CWORD]} path='' words='' options='' at count=0 word
  for ((at = 1; at < COMP_CWORD; at++)); do
    word=\${COMP_WORDS[at]}
    [[ $word == -* ]] && continue
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
  const lines = nodes().flatMap(({ path, words, options, takesAction }) => {
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
      ...options.map((option) => `complete -c intervene -n '${condition}' -l ${option.slice(2)}`),
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
