export interface CommandOptions {
  /** Working directory; by default `/`. */
  directory?: string;
  /** Complete environment of the program; by default a fixed minimal one, never the agent's own. */
  environment?: Record<string, string>;
  /** What the program reads as its standard input. Without it that is /dev/null. */
  input?: string | Uint8Array;
  /** `log` (default) streams to the job's log; `capture` collects up to 1 MiB; `both` does both. */
  output?: 'log' | 'capture' | 'both';
  /** Called with each piece of standard output or error as it arrives. */
  onOutput?: (channel: 'out' | 'err', bytes: Buffer) => void;
  timeoutMs?: number;
  /**
   * The program gets a pipe as descriptor 3; called with what it writes there. For progress that tools
   * report beside their output, such as `e2fsck -C 3`.
   */
  onDescriptor?: (bytes: Buffer) => void;
  /** Further descriptors to pass, from 3 on, or from 4 with `onDescriptor`. */
  descriptors?: number[];
  signal?: AbortSignal;
}

export interface CommandResult {
  /** Null when a signal ended it. */
  exitStatus: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
  out: string;
  err: string;
  /** Set when captured output was longer than what is kept. */
  truncated: boolean;
}
