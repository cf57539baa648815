import { createHash } from 'node:crypto';
import { RecordDecoder } from '../../proto/spool/record.ts';
import type { Stack } from './stack.ts';
import { readFileSync } from 'node:fs';
import path from 'node:path';

export interface WholeLog {
  out: string;
  err: string;
  notes: string[];
  gaps: { missingBytes: number; missingLines: number }[];
  encodedBytes: number;
  digest: string;
  /** Longest time between two records, in milliseconds. */
  longestSilenceMs: number;
}

/** Reads the stored log of a job as the control plane has it, and takes it apart. */
export async function readWholeLog(stack: Stack, job: string): Promise<WholeLog> {
  const token = readFileSync(
    path.join(stack.environment.INTERVENE_HOME!, 'profiles/lead/token'),
    'utf8',
  ).trim();
  const response = await fetch(`${stack.url}/api/v1/jobs/${job}/log?offset=0`, {
    headers: { authorization: `Bearer ${token}`, accept: 'application/vnd.intervene.log' },
  });
  if (!response.ok) throw new Error(`log: ${response.status} ${await response.text()}`);
  const bytes = Buffer.from(await response.arrayBuffer());
  const decoder = new RecordDecoder();
  const log: WholeLog = {
    out: '',
    err: '',
    notes: [],
    gaps: [],
    encodedBytes: bytes.length,
    digest: `sha256:${createHash('sha256').update(bytes).digest('hex')}`,
    longestSilenceMs: 0,
  };
  const out: Buffer[] = [];
  const err: Buffer[] = [];
  let last: number | undefined;
  for (const record of decoder.push(bytes)) {
    if (record.channel === 'out') out.push(record.payload);
    if (record.channel === 'err') err.push(record.payload);
    if (record.channel === 'note') log.notes.push(record.payload.toString());
    if (record.channel === 'gap') log.gaps.push(JSON.parse(record.payload.toString()));
    if (last !== undefined) {
      log.longestSilenceMs = Math.max(log.longestSilenceMs, (record.timeUs - last) / 1000);
    }
    last = record.timeUs;
  }
  if (decoder.pendingBytes > 0) throw new Error('the log ends within a record');
  log.out = Buffer.concat(out).toString();
  log.err = Buffer.concat(err).toString();
  return log;
}

/**
 * A Perl program (part of every Debian) that prints numbered lines and exits with 7. It writes `started`
 * and, at the end, `ended N` to `file`; it ends early once `FILE.stop` exists.
 */
export function counter(lines: number, everyMs: number, file: string): string[] {
  return [
    'perl',
    '-e',
    `$|=1; my ($file, $i) = ($ARGV[0], 0); sub say_to { open(my $f, ">>", $file) or die; print $f @_; close $f }` +
      ` say_to("started\\n"); while ($i < ${lines} && !-e "$file.stop") { $i++; print "line $i\\n";` +
      ` select(undef, undef, undef, ${everyMs / 1000}) } say_to("ended $i\\n"); exit 7`,
    file,
  ];
}

export function expectedLines(lines: number): string {
  return Array.from({ length: lines }, (_, index) => `line ${index + 1}\n`).join('');
}
