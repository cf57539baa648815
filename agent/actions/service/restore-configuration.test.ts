import { appendFileSync, chmodSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { diagnosticsResult, type Finding } from '../../../proto/actions/diagnostics.ts';
import type { FileRepairResult } from '../../../proto/actions/file-repair-result.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import { FaultDisk, type MountedSystem } from '../../../test/lab/index.ts';
import { keepArchive } from '../../../test/lab/faults/keep-archive.ts';
import { PLAN_FILE } from '../../jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import type { Jobs } from '../../jobs/job.ts';

const LIMIT_MS = 600_000;
const NGINX = '/etc/nginx/nginx.conf';
const SITE = '/etc/nginx/sites-available/default';
const ENABLED = '/etc/nginx/sites-enabled/default';
const OWN = '/etc/nginx/conf.d/own.conf';
const DIVERSIONS = '/var/lib/dpkg/diversions';
const ARCHIVES = '/var/cache/apt/archives';

let fixture: JobsFixture;
let jobs: Jobs;
let disk: FaultDisk;
beforeAll(async () => {
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
  disk = await FaultDisk.copy('bios-gpt');
  await disk.inside((system) => keepArchive(system, 'nginx-common'));
}, LIMIT_MS);
afterAll(async () => {
  disk?.close();
  await fixture?.close();
});

async function order(change: Partial<JobSpec>) {
  const spec = {
    action: 'service.restore-configuration',
    target: { disk: disk.image },
    parameters: {},
    maxRuntimeSeconds: 900,
    ...change,
  };
  const job = await jobs.start(fixture.spec(spec), {});
  const { outcome, reason, result } = await ended(job);
  const said = (await output(job, 'note')).toString() + (await output(job, 'err')).toString();
  return { id: job.id, outcome, reason, said, result };
}

const parametersFor = (file: string, unit = 'nginx.service') => ({ unit, file });

async function planned(file: string) {
  const job = await order({ mode: 'plan', parameters: parametersFor(file) });
  expect([job.outcome, job.reason], job.said).toEqual(['succeeded', null]);
  const bytes = await readFile(join(fixture.directory(job.id), PLAN_FILE));
  const plan = JSON.parse(bytes.toString('utf8')) as Plan;
  return { bytes: bytes.toString('base64'), plan };
}

const refusal = async (file: string, unit?: string) =>
  (await order({ mode: 'plan', parameters: parametersFor(file, unit) })).reason;

async function findings(): Promise<Finding[]> {
  const job = await order({
    action: 'diagnostics.collect',
    mode: 'apply',
    parameters: { areas: ['services'] },
  });
  expect(job.outcome, job.said).toBe('succeeded');
  return diagnosticsResult.parse(job.result).findings.filter(({ rule }) => /config/.test(rule));
}

/** Runs `body` on a disk whose folder of nginx is broken, and puts the folder back. */
async function broken(
  breakIt: (system: MountedSystem) => unknown,
  body: () => Promise<unknown>,
): Promise<void> {
  await disk.inside((system) => system.ok(['cp', '--archive', '/etc/nginx', '/var/tmp/kept']));
  try {
    await disk.inside((system) => void breakIt(system));
    await body();
  } finally {
    const back = 'rm -rf /etc/nginx; mv /var/tmp/kept /etc/nginx';
    await disk.inside((system) => system.ok(['sh', '-c', back]));
  }
}
const textOf = (file: string) => disk.lookAsItIs((system) => system.read(file));
const append = (system: MountedSystem, file: string) =>
  appendFileSync(system.path(file), 'nonsense\n');

describe("a daemon's configuration on a disk", () => {
  it(
    'is put back by the name that its check gives, also where that is a link, and undone',
    () =>
      broken(
        (system) => append(system, SITE),
        async () => {
          const before = await textOf(SITE);
          const [found] = await findings();
          expect(found).toMatchObject({
            rule: 'svc.config_bad',
            subject: 'nginx.service',
            evidence: [{ file: ENABLED, text: expect.stringContaining('nginx') as string }],
            suggestion: { parameters: parametersFor(ENABLED) },
          });
          expect(found!.evidence[0]).toMatchObject({ line: expect.any(Number) as number });
          const { bytes, plan } = await planned(ENABLED);
          expect(plan.steps.map(({ id }) => id)).toEqual(['file', 'verify']);
          expect(plan.steps[0]!.changes).toMatchObject([{ type: 'diff', path: SITE }]);
          const parameters = parametersFor(ENABLED);
          const done = await order({ plan: bytes, parameters });
          expect(done.result as FileRepairResult, done.said).toMatchObject({
            outcome: 'repaired',
            files: [SITE],
          });
          expect(await textOf(SITE)).not.toContain('nonsense');
          expect((await planned(ENABLED)).plan.steps).toEqual([]);
          const undone = await order({ mode: 'undo', undoes: done.id, parameters });
          expect(undone.result, undone.said).toMatchObject({ outcome: 'restored' });
          expect(await textOf(SITE)).toBe(before);
        },
      ),
    LIMIT_MS,
  );

  it(
    'is not shown where not everybody may read it',
    () =>
      broken(
        (system) => {
          appendFileSync(system.path(SITE), '# canary\nnonsense\n');
          chmodSync(system.path(SITE), 0o640);
        },
        async () => {
          const { plan } = await planned(ENABLED);
          const [change] = plan.steps[0]!.changes as { type: 'diff'; diff: string }[];
          expect(change!.diff).toMatch(/^-\(\d+ lines that not everybody may read: sha256:\w+\)$/m);
          expect(change!.diff).toMatch(/^\+\(\d+ lines that/m);
          expect(JSON.stringify(plan)).not.toContain('canary');
        },
      ),
    LIMIT_MS,
  );

  it.runIf(isWhole)(
    'is made anew where it is gone',
    () =>
      broken(
        (system) => rmSync(system.path('/etc/nginx/mime.types')),
        async () => {
          const file = '/etc/nginx/mime.types';
          const { bytes } = await planned(file);
          const done = await order({ plan: bytes, parameters: parametersFor(file) });
          expect(done.result, done.said).toMatchObject({ outcome: 'repaired', files: [file] });
        },
      ),
    LIMIT_MS,
  );

  it(
    'stays as it is where there is no way back to what works',
    async () => {
      expect((await planned(NGINX)).plan).toMatchObject({
        steps: [],
        summary: expect.stringContaining('Nothing to do') as string,
      });
      expect(await refusal(NGINX, 'cron.service')).toBe('not_checkable');
      expect(await refusal(NGINX, 'gone.service')).toBe('unit_not_found');
      await broken(
        (system) => writeFileSync(system.path(OWN), 'nonsense;\n'),
        async () => {
          expect(await findings()).toMatchObject([
            { evidence: [{ file: OWN, line: 1 }], suggestion: null },
          ]);
          expect(await refusal(OWN)).toBe('no_original');
          expect(await refusal(NGINX)).toBe('file_unchanged');
          expect(await refusal('/etc/nowhere/x.conf')).toBe('folder_missing');
          await disk.inside((system) => append(system, SITE));
          expect(await refusal(SITE)).toBe('fault_elsewhere');
        },
      );
    },
    LIMIT_MS,
  );

  it(
    'stays as it is where the daemon fails for what stands in no line',
    () =>
      broken(
        (system) => {
          const own = 'server_name shop.example;\n\tssl off;';
          system.edit(SITE, (text) => text.replace('server_name _;', own));
        },
        async () => {
          expect(await findings()).toEqual([]);
          expect((await planned(ENABLED)).plan.steps).toEqual([]);
          const ssl = 'ssl_certificate /etc/ssl/gone.pem; ssl_certificate_key /etc/ssl/gone.key;';
          const server = `server { listen 8443 ssl; ${ssl} }\n`;
          await disk.inside((system) => system.write(OWN, server));
          const text = expect.stringContaining('cannot load certificate') as string;
          expect(await findings()).toMatchObject([{ evidence: [{ text }], suggestion: null }]);
          expect(await refusal(ENABLED)).toBe('fault_unplaced');
          await disk.inside((system) => append(system, SITE));
          expect(await refusal(ENABLED)).toBe('fault_elsewhere');
          expect(await textOf(SITE)).toContain('shop.example');
        },
      ),
    LIMIT_MS,
  );

  it.runIf(isWhole)(
    'stays as it is where the plan is stale, or the file of the package is not to be had',
    () =>
      broken(
        (system) => append(system, NGINX),
        async () => {
          const { bytes } = await planned(NGINX);
          await disk.inside((system) => append(system, NGINX));
          const before = await textOf(NGINX);
          const stale = await order({ plan: bytes, parameters: parametersFor(NGINX) });
          expect(stale.reason).toBe('changed_since_plan');
          const diversions = await textOf(DIVERSIONS);
          const entry = `${NGINX}\n${NGINX}.distrib\nshop\n`;
          await disk.inside((system) => system.write(DIVERSIONS, diversions + entry));
          expect(await refusal(NGINX)).toBe('file_diverted');
          await disk.inside((system) => {
            system.write(DIVERSIONS, diversions);
            renameSync(system.path(ARCHIVES), system.path(`${ARCHIVES}.away`));
          });
          expect(await refusal(NGINX)).toBe('archive_missing');
          await disk.inside((system) =>
            renameSync(system.path(`${ARCHIVES}.away`), system.path(ARCHIVES)),
          );
          expect(await textOf(NGINX)).toBe(before);
        },
      ),
    LIMIT_MS,
  );
});
