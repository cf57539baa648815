import { spawn, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { symlinkSync } from 'node:fs';
import type { Readable, Writable } from 'node:stream';

const SWAPS_TOLD = 10;
/** Exchanges two names at once (renameat2(2), RENAME_EXCHANGE; not in Node) until its input ends. */
const PROGRAM = `
  use strict; my ($folder, $link) = @ARGV; my ($in, $swaps) = ('', 0); $| = 1;
  vec($in, fileno(STDIN), 1) = 1;
  until (select(my $ready = $in, undef, undef, 0.0001)) {
    for (1, 2) {
      die "renameat2: $!" if syscall(316, -100, $folder, -100, $link, 2) != 0;
      select(undef, undef, undef, 0.0001);
    }
    print "." if ++$swaps % ${SWAPS_TOLD} == 0;
  }`;

/** A folder that another process swaps for a symlink and back, as fast as it can. */
export class SwappedFolder {
  /** How often the folder was swapped and put back. */
  swaps = 0;
  private readonly swapper: ChildProcessByStdio<Writable, Readable, null>;
  private readonly end: Promise<unknown[]>;

  /** `leads` is where the symlink leads that takes the place of `folder`. */
  constructor(folder: string, leads: string) {
    const link = `${folder}.link`;
    symlinkSync(leads, link);
    this.swapper = spawn('perl', ['-e', PROGRAM, folder, link], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    this.swapper.stdout.on('data', (told: Buffer) => (this.swaps += told.length * SWAPS_TOLD));
    this.end = once(this.swapper, 'exit');
  }

  get isRunning(): boolean {
    return this.swapper.exitCode === null;
  }

  /** Ends it with the folder in its place; throws when it had ended by itself. */
  async stop(): Promise<void> {
    this.swapper.stdin.end();
    const [status] = await this.end;
    if (status !== 0)
      throw new Error(`the folder is swapped no more: exit status ${String(status)}`);
  }
}
