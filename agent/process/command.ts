export interface CommandOptions {
  directory?: string;
  /** Complete environment of the program; by default a fixed minimal one, never the agent's own. */
  environment?: Record<string, string>;
  /** Written to standard input, which is then closed. Without it standard input is /dev/null. */
  input?: string | Uint8Array;
  /** `log` (default) streams to the job's log; `capture` collects up to 1 MiB; `both` does both. */
  output?: 'log' | 'capture' | 'both';
  /** Called with each piece of standard output or error as it arrives. */
  onOutput?: (channel: 'out' | 'err', bytes: Buffer) => void;
  timeoutMs?: number;
  /** Extra descriptors to pass, as 3, 4, … */
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
