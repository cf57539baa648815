import { Masker, maskJson, maskText } from '../jobs/masking.ts';
import type { SpoolWriter } from '../jobs/spool-writer.ts';
import type { CommandOutput } from '../process/run-command.ts';

/** The log of a job as the job sees it: nothing gets into the spool without having been masked. */
export class JobLog {
  private readonly spool: SpoolWriter;
  private readonly secrets: readonly string[];

  constructor(spool: SpoolWriter, secrets: readonly string[]) {
    this.spool = spool;
    this.secrets = secrets;
  }

  /** A line from the job itself. */
  note(text: string): void {
    const line = text.endsWith('\n') ? text : `${text}\n`;
    this.spool.append('note', Buffer.from(this.mask(line), 'utf8'));
  }

  mask(text: string): string {
    return maskText(text, this.secrets);
  }

  maskJson<T>(value: T): T {
    return maskJson(value, this.secrets);
  }

  /** For one command: a secret may be split between two writes to one channel, not between channels. */
  openOutput(): CommandOutput {
    const maskers = { out: new Masker(this.secrets), err: new Masker(this.secrets) };
    return {
      write: (channel, bytes) => this.spool.append(channel, maskers[channel].push(bytes)),
      room: () => this.spool.room(),
      end: () => {
        this.spool.append('out', maskers.out.flush());
        this.spool.append('err', maskers.err.flush());
      },
    };
  }
}
