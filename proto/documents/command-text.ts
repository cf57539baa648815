const PLAIN_WORD = /^[A-Za-z0-9_@%+=:,./-]+$/;

/** One command as a line that can be copied into a shell and means the same. */
export function commandText(argv: readonly string[]): string {
  return argv.map(shellWord).join(' ');
}

/**
 * Tag of templates that are commands to copy: what is filled in is quoted where a shell would read it otherwise.
 * `shell\`intervene logs ${name}\``.
 */
export function shell(
  strings: TemplateStringsArray,
  ...values: readonly (string | number)[]
): string {
  return strings.reduce((line, text, at) => `${line}${shellWord(String(values[at - 1]))}${text}`);
}

function shellWord(word: string): string {
  return PLAIN_WORD.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
