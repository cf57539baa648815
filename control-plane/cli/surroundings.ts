import type { Readable, Writable } from 'node:stream';

export type OutputStream = Writable & {
  isTTY?: boolean;
  columns?: number | undefined;
  rows?: number | undefined;
};
export type InputStream = Readable & {
  isTTY?: boolean;
  setRawMode?: (raw: boolean) => unknown;
};

/** All that a command gets from the process it runs in; only `main.ts` reads the environment. */
export interface Surroundings {
  stdin: InputStream;
  stdout: OutputStream;
  stderr: OutputStream;
  /** Folder that holds `profiles/`. */
  home: string;
  profile: string;
  /** What kind of terminal it is, as programs are told; undefined for none. */
  term?: string | undefined;
  /** False where `NO_COLOR` or a dumb terminal forbids colour. */
  color: boolean;
  /** Program and arguments that show long text; null for none. */
  pager: readonly string[] | null;
  /** IANA name; undefined for the machine's own. */
  timeZone: string | undefined;
  /** Version of this program. */
  version: string;
  /** How this machine is called in the label of a new token. */
  hostName: string;
  /** Milliseconds since 1970. */
  now(): number;
  /** Calls back on Ctrl-C or SIGTERM; returns how to stop listening. */
  onInterrupt(listener: () => void): () => void;
}
