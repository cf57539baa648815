import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PLAN_FILE } from '../../../agent/jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../../agent/jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../agent/jobs/job-spec.ts';
import type { Jobs } from '../../../agent/jobs/job.ts';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import { sh, tell } from '../agent-guest/telling.ts';

/** Where what is opened by hand is mounted. */
export const POINT = '/run/by-hand';

export function mounted<T>(device: string, body: () => T, options = ''): T {
  sh(`mkdir -p ${POINT}; mount ${options} ${device} ${POINT}`);
  try {
    return body();
  } finally {
    sh(`umount ${POINT}`);
  }
}

/** Past what the kernel remembers of them. A weak sum is enough, and an emulated processor has it sooner. */
export function sum(devices: readonly string[]): string {
  return devices
    .map((device) => sh(`dd if=${device} bs=1M iflag=direct status=none | cksum`).trim())
    .join(', ');
}

/** What the kernel has open of LVM, LUKS, RAID and loop devices. */
export function left(): string[] {
  return readdirSync('/sys/block').filter(
    (name) =>
      /^(?:dm-|md)\d+/.test(name) ||
      (name.startsWith('loop') && readdirSync(`/sys/block/${name}`).includes('loop')),
  );
}

/** An agent in the guest, and its jobs. */
export class Guest {
  readonly fixture: JobsFixture;
  jobs: Jobs;

  private constructor(fixture: JobsFixture) {
    this.fixture = fixture;
    this.jobs = this.agent();
  }

  static async start(): Promise<Guest> {
    const options = {
      programDirectory: '/lab',
      runnerEntry: '/lab/runner.mjs',
      startWithinMs: 300_000,
    };
    const guest = new Guest(await JobsFixture.create(options));
    await guest.jobs.load();
    return guest;
  }

  agent(): Jobs {
    return this.fixture.agent();
  }

  async start(change: Partial<JobSpec>, key?: string) {
    const spec = this.fixture.spec({
      ...{ target: { disk: 'all' }, parameters: {}, maxRuntimeSeconds: 600 },
      ...change,
    });
    return this.jobs.start(spec, key === undefined ? {} : { 'disk-key': key });
  }

  /** @param disks whose bytes are compared with those before the job */
  async order(
    what: string,
    change: Partial<JobSpec>,
    key: string | undefined,
    disks: readonly string[],
  ): Promise<string> {
    const before = sum(disks);
    const job = await this.start(change, key);
    const { outcome, reason, result } = await ended(job);
    const { findings = [], ...rest } = (result ?? {}) as unknown as { findings?: Finding[] };
    tell(what, {
      ...{ outcome, reason, result: rest },
      findings: findings.map(({ rule, subject, suggestion }) => [
        rule,
        subject,
        suggestion?.action ?? null,
      ]),
      said: (await output(job, 'note')).toString(),
      ...{ unchanged: sum(disks) === before, left: left() },
    });
    return job.id;
  }

  async plan(
    what: string,
    change: Partial<JobSpec>,
    key: string | undefined,
    disks: readonly string[],
  ): Promise<string> {
    const job = await this.order(what, { ...change, mode: 'plan' }, key, disks);
    const bytes = await readFile(`${this.fixture.directory(job)}/${PLAN_FILE}`).catch(() => null);
    tell(`${what}: its text`, {
      plan: bytes === null ? null : (JSON.parse(bytes.toString()) as object),
    });
    return bytes?.toString('base64') ?? '';
  }
}
