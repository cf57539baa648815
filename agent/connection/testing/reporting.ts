import pino from 'pino';
import type { Job } from '../../jobs/job.ts';
import { ControlPlaneConnection } from '../connection.ts';
import { Reporter } from '../report.ts';
import { FarEnd } from './far-end.ts';
import type { FarEndOptions } from './far-end.ts';
import { greeting } from './near-end.ts';
import type { Closing } from './near-end.ts';
import { makeIdentity } from './test-identity.ts';
import { TestJob } from './test-job.ts';

const log = pino({ level: 'silent' });

export interface ReportingOptions extends FarEndOptions {
  /** How often the end of a job cannot be made. */
  failingEnds?: number;
}

/** Jobs that the test runs, reported over a real connection. */
export async function startReporting(
  closing: Closing,
  { failingEnds = 0, ...options }: ReportingOptions = {},
) {
  const farEnd = await FarEnd.start({
    onSession: (session) => session.welcome(positions()),
    ...options,
  });
  const jobs = new Map<string, TestJob>();
  const listeners = new Set<(job: Job) => void>();
  const released: string[] = [];
  const done: string[] = [];
  let positions: () => object[] = () => [];
  const reporter = new Reporter({
    jobs: {
      all: () => [...jobs.values()],
      onAdded: (listener) => {
        listeners.add(listener);
        return () => listeners.delete(listener);
      },
      release: async (id) => {
        released.push(id);
      },
    },
    statements: {
      receiptOf: (id) => Buffer.from(`receipt of ${id}`),
      endOf: async (job) => {
        if (failingEnds-- > 0) throw new Error('ENOSPC: no space left on device');
        return {
          receipt: Buffer.from(`end of ${job.id}`),
          result: Buffer.from(JSON.stringify(job.ended?.result)),
          plan: await job.readPlan(),
          sealedOutputs: [],
        };
      },
    },
    recall: () => null,
    onDone: (id) => done.push(id),
    log,
  });
  const connection = new ControlPlaneConnection({
    addresses: [farEnd.address],
    identity: await makeIdentity(farEnd.authority),
    nowMs: Date.now,
    greeting: () => ({ ...greeting, knownJobs: [...jobs.keys()] }),
    onMessage: (message, session) => {
      if (message.type === 'welcome') reporter.attach(session, message.positions);
      if (message.type === 'acknowledged') reporter.acknowledge(message.acknowledged);
    },
    onWritable: () => reporter.pump(),
    onState: (state) => state !== 'connected' && reporter.detach(),
    isBusy: () => true,
    saveCertificate: async () => {},
    log,
  });
  connection.start();
  closing.add(() => farEnd.stop());
  closing.add(async () => {
    await connection.stop();
    reporter.close();
    for (const job of jobs.values()) await job.remove();
  });
  return {
    farEnd,
    reporter,
    connection,
    released,
    done,
    positionsAre: (say: () => object[]) => {
      positions = say;
    },
    start: async (id = 'job'): Promise<TestJob> => {
      const job = await TestJob.create(id);
      jobs.set(id, job);
      for (const listener of listeners) listener(job);
      job.note({ type: 'received', at: 1, job: id, version: 1 });
      job.note({ type: 'started', at: 2 });
      return job;
    },
  };
}
