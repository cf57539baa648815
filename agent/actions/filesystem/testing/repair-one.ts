import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { JournalRecord } from '../../../jobs/journal-record.ts';
import { ActionFixture } from './action-fixture.ts';

// Repairs a file system, or takes the repair back, in a process of its own, which a test kills on the way.
// Arguments: folder of the fixture, device, `apply` or `undo`. The journal is on disk, as a runner's is.
const [folder = '', device = '', what = ''] = process.argv.slice(2);
const journal = join(folder, 'journal');
const parameters = { device };
const fixture = ActionFixture.in(folder);
if (what === 'undo') {
  const lines = existsSync(journal) ? readFileSync(journal, 'utf8').trimEnd().split('\n') : [];
  const records = lines.map((line) => JSON.parse(line) as JournalRecord);
  await fixture.undo({ job: 'killed', directory: folder, records }, parameters);
} else {
  const { plan } = await fixture.plan(parameters);
  const onRecord = (record: JournalRecord) =>
    appendFileSync(journal, `${JSON.stringify(record)}\n`);
  const done = await fixture.apply(plan, { onRecord });
  if (done.result.outcome !== 'corrected') throw new Error(done.result.detail);
}
process.exit(0);
