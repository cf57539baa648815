import { expect, it } from 'vitest';
import type { JournalRecord } from '../jobs/journal-record.ts';
import { encodeOutgoing } from './messages.ts';

it('the journal tells of a secret that was handed out, and does not hold it', () => {
  const sealed = Buffer.from('age-encryption.org/v1 …');
  const records: JournalRecord[] = [
    { type: 'started', at: 1 },
    { type: 'secret_sealed', at: 2, name: 'password', sealed: sealed.toString('base64') },
  ];
  const said = encodeOutgoing({ type: 'events', job: 'j', firstSequence: 0, records }).events!;
  expect(said.records!.map((record) => JSON.parse(String(record)) as unknown)).toEqual([
    { type: 'started', at: 1 },
    {
      type: 'secret_sealed',
      at: 2,
      name: 'password',
      digest: expect.stringMatching(/^sha256:[0-9a-f]{64}$/),
    },
  ]);
});
