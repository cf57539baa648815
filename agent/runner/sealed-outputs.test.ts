import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { JsonValue } from '../../proto/documents/fields.ts';
import { openSealedOutput } from '../../proto/documents/sealed-output.ts';
import type { Job, Jobs } from '../jobs/job.ts';
import type { JobSpec } from '../jobs/job-spec.ts';
import { ended, JobsFixture, output } from '../jobs/jobs-fixture.ts';
import { killRunner } from '../jobs/runner-process.ts';
import type { ScriptedStep } from './testing/scripted-step.ts';

let fixture: JobsFixture;
let jobs: Jobs;
let identity: string;
let recipient: string;

beforeEach(async () => {
  const runnerEntry = join(import.meta.dirname, 'testing', 'scripted-runner.ts');
  fixture = await JobsFixture.create({ runnerEntry });
  jobs = fixture.agent();
  await jobs.load();
  identity = await generateX25519Identity();
  recipient = await identityToRecipient(identity);
});

afterEach(() => fixture.close());

function start(step: Omit<ScriptedStep, 'id' | 'interrupt'>, change: Partial<JobSpec> = {}) {
  const script: ScriptedStep[] = [{ id: 'make', interrupt: 'now', ...step }];
  const spec = fixture.spec({
    action: 'filesystem.repair',
    parameters: { device: join(fixture.state, 'none'), script: script as unknown as JsonValue },
    credentialRecipient: { type: 'age', recipient },
    ...change,
  });
  return jobs.start(spec, {});
}

const sealedOf = (job: Job) =>
  job.records(0).flatMap((record) => (record.type === 'secret_sealed' ? [record] : []));

async function openFirst(job: Job): Promise<string> {
  const { name, sealed } = sealedOf(job)[0]!;
  const origin = { job: job.id, server: '0b8f9c3e-52f1-4c55-8a39-6f0d5a1c7e21', name };
  return openSealedOutput(identity, origin, Buffer.from(sealed, 'base64'));
}

function filesUnder(folder: string): Buffer[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => readFileSync(join(entry.parentPath, entry.name)));
}

test('a secret that a job makes lies in its folder sealed to the client, and nowhere in clear', async () => {
  const job = await start({ make: ['password'], run: 'read p; echo "it is $p"; echo "$p" | rev' });
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
  const secret = await openFirst(job);
  expect(secret).toMatch(/^[\w-]{16}$/);
  const reversed = secret.split('').toReversed().join('');
  expect((await output(job)).toString()).toBe(`it is •••\n${reversed}\n`);
  expect((await output(job, 'note')).toString()).toContain('password, was sealed to the client');
  const files = filesUnder(fixture.state);
  // The search finds what lies there in clear.
  expect(files.some((bytes) => bytes.includes('secret_sealed'))).toBe(true);
  expect(files.filter((bytes) => bytes.includes(secret))).toEqual([]);
});

test('a secret was durable before it was put to use, whatever becomes of the runner then', async () => {
  const job = await start({ make: ['password'], run: 'echo used; sleep 60' });
  while (!(await output(job)).includes('used')) await new Promise(setImmediate);
  await killRunner(job.directory);
  expect(await ended(job)).toMatchObject({ outcome: 'interrupted', reason: 'runner_died' });
  expect(await openFirst(job)).toMatch(/^[\w-]{16}$/);
});

test.each([
  ['nobody', {}],
  ['an SSH key', { credentialRecipient: { type: 'ssh', publicKey: 'ssh-ed25519 AAAA' } }],
] as const)('with %s as recipient no secret is made', async (_who, named) => {
  const { credentialRecipient: _, ...bare } = fixture.spec({ parameters: {} });
  const script = [{ id: 'make', interrupt: 'now', make: ['password'], run: 'echo used' }];
  const parameters = { device: join(fixture.state, 'none'), script };
  const job = await jobs.start({ ...bare, action: 'filesystem.repair', parameters, ...named }, {});
  expect(await ended(job)).toMatchObject({ outcome: 'failed', reason: 'no_credential_recipient' });
  expect(sealedOf(job)).toEqual([]);
  expect((await output(job)).toString()).toBe('');
});

test.each([
  ['the same name twice', ['password', 'password'], 1],
  ['a name that is none', ['Pass word'], 0],
  ['more than a message holds', Array.from({ length: 9 }, (_, n) => `key-${n}`), 8],
])('%s ends the job, and what was sealed before stays', async (_what, make, kept) => {
  const job = await start({ make });
  expect(await ended(job)).toMatchObject({ outcome: 'failed' });
  expect(sealedOf(job)).toHaveLength(kept);
});
