import { createInterface } from 'node:readline';
import type { Job } from '../../../jobs/job.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import { createJobs } from '../../../jobs/jobs.ts';
import { locateProgram } from '../../../program.ts';

// The part of an agent that keeps jobs, in a network and with an /etc that a test gave it. Arguments: its state
// folder. A line of standard input is a job to start; a line of standard output is a job that has ended.
const [stateDirectory = ''] = process.argv.slice(2);
const { directory } = locateProgram();
const jobs = createJobs({
  stateDirectory,
  programDirectory: directory,
  protectedPaths: [],
  log: {
    warn: (fields, message) => void process.stderr.write(`${message} ${JSON.stringify(fields)}\n`),
  },
});
const told = new Set<string>();
const tell = (job: Job) => {
  if (job.ended === null || told.has(job.id)) return;
  told.add(job.id);
  process.stdout.write(`${JSON.stringify({ job: job.id, ended: job.ended })}\n`);
};
jobs.onAdded((job) => {
  job.onChange(() => tell(job));
  tell(job);
});
await jobs.load();
process.stdout.write('{"ready":true}\n');
for await (const line of createInterface({ input: process.stdin })) {
  jobs.start(JSON.parse(line) as JobSpec, {}).catch((error: unknown) => {
    process.stderr.write(`${(error as Error).message}\n`);
  });
}
