import { maskedStrings, Masker, maskJson, maskText } from '../jobs/masking.ts';
import type { SpoolWriter } from '../jobs/spool-writer.ts';
import type { CommandOutput } from '../process/run-command.ts';

/** The log of a job as the job sees it: nothing gets into the spool without having been masked. */
export class JobLog {
  private readonly spool: SpoolWriter;
  private readonly secrets: string[];
  private readonly maskers = new Set<Masker>();

  /** @param secrets hidden from the first byte on */
  constructor(spool: SpoolWriter, secrets: Iterable<string>) {
    this.spool = spool;
    this.secrets = maskedStrings(secrets);
  }

  /** A secret that came to be only now; what is written from here on is masked, also by running commands. */
  hide(secret: string): void {
    const strings = maskedStrings([secret]);
    this.secrets.push(...strings);
    for (const masker of this.maskers) masker.add(strings);
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
    for (const masker of Object.values(maskers)) this.maskers.add(masker);
    return {
      write: (channel, bytes) => this.spool.append(channel, maskers[channel].push(bytes)),
      room: () => this.spool.room(),
      end: () => {
        for (const masker of Object.values(maskers)) this.maskers.delete(masker);
        this.spool.append('out', maskers.out.flush());
        this.spool.append('err', maskers.err.flush());
      },
    };
  }
}
