import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { PLAN_FILE } from '../../../agent/jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../../agent/jobs/jobs-fixture.ts';
import type { JobSpec } from '../../../agent/jobs/job-spec.ts';
import type { Jobs } from '../../../agent/jobs/job.ts';
import { sh, tell } from '../agent-guest/telling.ts';

/**
 * What is tried in the guest: an agent's jobs of bootloader.repair on a disk of a machine that was started by
 * UEFI and whose firmware has lost its entry.
 */

const DISK = '/dev/vdb';
const VARIABLES = '/sys/firmware/efi/efivars';

/** As the kernel and as efibootmgr(8) show them; nothing where they are not mounted. */
function firmware(): object {
  const names = readdirSync(VARIABLES).filter((name) => /^Boot(?:[0-9A-F]{4}|Order)-/.test(name));
  if (names.length === 0) return {};
  const files = names.map((name) => [
    name.slice(0, name.indexOf('-')),
    readFileSync(`${VARIABLES}/${name}`).toString('hex'),
  ]);
  return { variables: Object.fromEntries(files) as object, shown: sh('efibootmgr -v') };
}

/** Of its table and its EFI partition. */
function diskDigest(): string {
  return sh(`dd if=${DISK} bs=1M count=65 iflag=direct status=none | sha256sum`).slice(0, 64);
}

async function order(jobs: Jobs, fixture: JobsFixture, what: string, change: Partial<JobSpec>) {
  const spec = fixture.spec({
    ...{ action: 'bootloader.repair', target: { disk: DISK }, parameters: {} },
    ...{ maxRuntimeSeconds: 900, ...change },
  });
  const job = await jobs.start(spec, {});
  const { outcome, reason, result } = await ended(job);
  const said = (await output(job, 'note')).toString() + (await output(job, 'err')).toString();
  const plan = await readFile(`${fixture.directory(job.id)}/${PLAN_FILE}`).catch(() => null);
  tell(what, {
    ...{ outcome, reason, result, said, ...firmware(), disk: diskDigest() },
    plan: plan === null ? null : (JSON.parse(plan.toString()) as object),
  });
  return { id: job.id, plan: plan?.toString('base64') ?? '' };
}

async function main(): Promise<void> {
  const options = {
    programDirectory: '/lab',
    runnerEntry: '/lab/runner.mjs',
    startWithinMs: 300_000,
  };
  const fixture = await JobsFixture.create(options);
  const jobs = fixture.agent();
  await jobs.load();
  const run = (what: string, change: Partial<JobSpec>) => order(jobs, fixture, what, change);
  // Nothing has mounted them: an agent finds its way itself.
  const { plan } = await run('a plan', { mode: 'plan' });
  sh(`mount -t efivarfs efivarfs ${VARIABLES}`);
  tell('before', { ...firmware(), disk: diskDigest() });
  const { id } = await run('the repair', { plan });
  await run('a second plan', { mode: 'plan' });
  await run('the undo', { mode: 'undo', undoes: id });
  sh(`mount -o remount,ro ${VARIABLES}`);
  await run('a plan where nobody may write', { mode: 'plan' });
  sh(`mount -o remount,rw ${VARIABLES}`);
  await run('the repair once more', { plan });
  await fixture.close();
}

await main();
