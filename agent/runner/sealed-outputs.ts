import { sealedOutputLimits, sealedOutputName } from '../../proto/documents/sealed-output.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import type { JournalWriter } from '../jobs/journal-writer.ts';
import { ActionError } from './action.ts';
import type { JobLog } from './job-log.ts';

/** A shorter one would be masked nowhere, as half the log would be masked with it. */
const VALUE_MIN_BYTES = 4;

/** What a job hands out to the client. In clear it exists in the runner's memory alone. */
export class SealedOutputs {
  private readonly spec: JobSpec;
  private readonly journal: JournalWriter;
  private readonly log: JobLog;
  private readonly names = new Set<string>();

  constructor(spec: JobSpec, journal: JournalWriter, log: JobLog) {
    this.spec = spec;
    this.journal = journal;
    this.log = log;
  }

  /** See `ActionContext.sealOutput`. */
  async seal(name: string, value: string): Promise<void> {
    const recipient = this.recipient();
    this.requireRoom(name, value);
    this.names.add(name);
    this.log.hide(value);
    const { sealOutput } = await import('../../proto/documents/sealed-output.ts');
    const { job, server } = this.spec;
    const sealed = await sealOutput(recipient, { job, server, name }, value);
    if (sealed.length > sealedOutputLimits.sealedBytes) throw tooLong(name);
    const at = Date.now();
    this.journal.append({ type: 'secret_sealed', at, name, sealed: sealed.toString('base64') });
    this.log.note(`A new secret, ${name}, was sealed to the client.`);
  }

  private recipient(): string {
    const named = this.spec.credentialRecipient ?? null;
    if (named?.type === 'age') return named.recipient;
    throw new ActionError(
      'no_credential_recipient',
      named === null
        ? 'The client named nobody to whom a new secret could be sealed, so none is made.'
        : 'The client named an SSH key; a new secret cannot be sealed to it, so none is made.',
    );
  }

  private requireRoom(name: string, value: string): void {
    sealedOutputName.parse(name);
    if (this.names.has(name)) throw new Error(`the secret ${name} was handed out already`);
    if (this.names.size >= sealedOutputLimits.count) throw new Error('too many secrets of one job');
    const bytes = Buffer.byteLength(value);
    if (bytes < VALUE_MIN_BYTES) throw new Error(`the secret ${name} is too short to be masked`);
    if (bytes > sealedOutputLimits.valueBytes) throw tooLong(name);
  }
}

function tooLong(name: string): Error {
  return new Error(`the secret ${name} is too long to be handed out`);
}
