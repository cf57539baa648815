/** Mode with the type of the file, and owner, as stat(2) has them. */
export interface SeenMode {
  mode: number;
  uid: number;
}

/** What `stat --format '%f %u %n'` says of paths, by path. */
export function parseModes(text: string): Map<string, SeenMode> {
  return new Map(
    text.split('\n').flatMap((line): [string, SeenMode][] => {
      const [, mode, uid, path] = /^([0-9a-f]+) (\d+) (\/.*)$/.exec(line) ?? [];
      if (path === undefined) return [];
      return [[path, { mode: Number.parseInt(mode!, 16), uid: Number(uid) }]];
    }),
  );
}
