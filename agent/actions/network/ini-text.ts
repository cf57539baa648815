/** One `key=value` of a file in sections: keyfiles of NetworkManager, units of systemd-networkd. */
interface Entry {
  section: string;
  key: string;
  value: string;
  /** From 0. */
  index: number;
}

function entriesOf(text: string): Entry[] {
  let section = '';
  return text.split('\n').flatMap((line, index): Entry[] => {
    const [, header] = /^\s*\[([^\]]+)\]\s*$/.exec(line) ?? [];
    if (header !== undefined) section = header;
    const [, key, value] = /^\s*([^#;=[\s][^=]*)=(.*)$/s.exec(line) ?? [];
    if (key === undefined) return [];
    return [{ section, key: key.trimEnd(), value: value!.trim(), index }];
  });
}

/** The values of a key, in their order. */
export function valuesOf(text: string, section: string, key: string): string[] {
  return entriesOf(text)
    .filter((entry) => entry.section === section && entry.key === key)
    .map(({ value }) => value);
}

/** From 1; null where the key is not there. */
export function lineOf(text: string, section: string, key: string): number | null {
  const found = entriesOf(text).find((entry) => entry.section === section && entry.key === key);
  return found === undefined ? null : found.index + 1;
}

/** The text with one value of a key in a section; every other line stays as it is. */
export function withValue(text: string, section: string, key: string, value: string): string {
  const own = entriesOf(text).filter((entry) => entry.section === section && entry.key === key);
  const lines = text.split('\n');
  const [first, ...more] = own;
  if (first !== undefined) {
    const line = lines[first.index]!;
    const changed = lines.with(first.index, `${line.slice(0, line.indexOf('='))}=${value}`);
    return changed.filter((_, index) => !more.some((one) => one.index === index)).join('\n');
  }
  const header = lines.findIndex((line) => line.trim() === `[${section}]`);
  if (header >= 0) return lines.toSpliced(header + 1, 0, `${key}=${value}`).join('\n');
  const end = text === '' || text.endsWith('\n') ? '' : '\n';
  return `${text}${end}\n[${section}]\n${key}=${value}\n`;
}
