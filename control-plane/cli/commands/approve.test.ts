import { beforeEach, describe, expect, it } from 'vitest';
import { envelopeBytes, useCliWorld } from '../../../test/fixtures/cli-world.ts';
import { planJob } from '../../../test/fixtures/far-answers.ts';
import { person } from '../../../test/fixtures/far-bodies.ts';
import type { FarJob } from '../../../test/fixtures/far-end.ts';
import { openDocument } from '../../../proto/documents/document.ts';

const its = useCliWorld();
const job = () => [...its.farEnd.jobs.values()].at(-1)!;
const approve = (...more: string[]) => ['approve', job().body.name, ...more];
const asBen = (words: string[], options = {}) => its.cli.run(words, { profile: 'ben', ...options });

beforeEach(async () => {
  const [, ben] = its.world.engineers;
  its.farEnd.people.set('ben-token', person('Ben', 'engineer', ben.person, null));
  its.cli.login(its.farEnd, 'ben', 'ben-token');
  its.cli.addKey('ben', 'engineer', ben, { person: ben.person, name: 'Ben' });
  const grant = its.farEnd.addGrant({ engineersForClassC: 2 });
  its.farEnd.onOrder = (ordered: FarJob) => {
    if (ordered.order.mode === 'plan') return planJob(its.world, ordered);
    Object.assign(ordered.body, {
      state: 'proposed',
      engineersNeeded: 2,
      grantId: grant['id'],
    });
    ordered.plan = [...its.farEnd.jobs.values()][0]!.plan;
  };
  await its.cli.run(['plan', 'web-04', 'filesystem.repair', '--param', 'device=/dev/vdb']);
});

async function propose() {
  const words = ['run', 'web-04', 'filesystem.repair', '--plan', '1042/1', '--yes', '--detach'];
  return its.cli.run(words);
}

describe('approve', () => {
  it('is what run tells the engineer to have done, by somebody else', async () => {
    const done = await propose();
    expect(done.stderr).toContain('2 engineers must sign; 1 did.');
    expect(done.stderr).toContain('intervene approve 1042/2');
  });

  it('shows order, plan and parameters, and signs the same bytes', async () => {
    await propose();
    const before = job().orderEnvelope;
    const done = await asBen(approve(), { columns: 120, answers: ['web-04\r'] });
    expect(done.status, done.stderr).toBe(0);
    for (const text of [
      'filesystem.repair, apply, class C',
      'web-04',
      '/dev/vdb',
      String(job().body['orderDigest']),
      'e2fsck -fy /dev/vdb',
      'e2undo puts the blocks back',
      'G-311',
      'Ana; 2 are needed',
      'signed by Ana and Ben',
    ]) {
      expect(done.stderr).toContain(text);
    }
    const keys = its.world.engineers.map(({ key }) => key);
    const signed = openDocument('order', envelopeBytes(job().orderEnvelope), keys);
    expect(signed.signers).toEqual(keys);
    expect(signed.digest).toBe(openDocument('order', envelopeBytes(before), keys).digest);
  });

  it('signs nothing without the name of the server', async () => {
    await propose();
    const done = await asBen(approve(), { columns: 80, answers: ['web-05\r'] });
    expect(done.status).toBe(4);
    expect(its.farEnd.requests.some(({ path }) => path.endsWith('/approve'))).toBe(false);
  });

  it('with --yes signs only the order that was named', async () => {
    await propose();
    expect(await asBen(approve('--yes'))).toMatchObject({
      status: 2,
      stderr: expect.stringContaining('needs_order'),
    });
    const other = `sha256:${'0'.repeat(64)}`;
    expect(await asBen(approve('--yes', '--order', other))).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('order_mismatch'),
    });
    const digest = String(job().body['orderDigest']);
    const done = await asBen(approve('--yes', '--order', digest.slice(0, 15), '--json'));
    expect(JSON.parse(done.stdout)).toMatchObject({ state: 'queued', signedBy: ['Ana', 'Ben'] });
  });

  it('refuses the own order, one that waits for nobody, and one of another job', async () => {
    await propose();
    expect(await its.cli.run(approve())).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('order_is_own'),
    });
    const kept = job().orderEnvelope;
    job().orderEnvelope = [...its.farEnd.jobs.values()][0]!.orderEnvelope;
    expect(await asBen(approve())).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('order_mismatch'),
    });
    job().orderEnvelope = kept;
    job().body.state = 'running';
    expect(await asBen(approve())).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('job_not_proposed'),
    });
  });

  it('refuses a plan that is not the one the order names, or is not there', async () => {
    await propose();
    job().plan = null;
    expect(await asBen(approve())).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('plan_missing'),
    });
    const other = its.world.signPlan({ summary: 'Erase everything.' });
    job().plan = Buffer.from(other.envelope).toString('base64');
    expect(await asBen(approve())).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('plan_mismatch'),
    });
  });

  it('says who has no certification before it shows anything', async () => {
    await propose();
    its.farEnd.certifications = its.farEnd.certifications.slice(0, 2);
    expect(await asBen(approve())).toMatchObject({
      status: 3,
      stderr: expect.stringContaining('not_certified'),
    });
  });
});
