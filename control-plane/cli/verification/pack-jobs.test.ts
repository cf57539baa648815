import { describe, expect, it } from 'vitest';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { packed, papers } from '../../../test/fixtures/pack-papers.ts';
import type { PaperChanges, Papers } from '../../../test/fixtures/pack-papers.ts';
import { createTrustWorld, createWorldKey, uuidV7 } from '../../../test/fixtures/trust-world.ts';
import type { PackBody } from '../api/bodies.ts';
import { verifyPack } from './verify-pack.ts';

function findings({ world, pack }: Papers): string[] {
  const pins = { root: world.root.digest, accountKeys: world.account.digest };
  return verifyPack(pack, pins, [])
    .checks.filter(({ verdict }) => verdict === 'fails')
    .map(({ subject, detail }) => `${subject}: ${detail}`);
}

/** What fails when the papers are made with these changes. */
async function after(changes: PaperChanges): Promise<string> {
  return findings(await papers(changes)).join('\n');
}

const job = (pack: PackBody) => pack.jobs[0] ?? expect.fail('no job');

/** An intervention whose job repaired a file system by its plan. */
async function withRepair(): Promise<Papers> {
  const world = await createTrustWorld();
  const plan = world.signPlan();
  const made = await papers({ world, order: { action: 'filesystem.repair', plan: plan.digest } });
  job(made.pack).documents.plan = packed(plan.envelope);
  return made;
}

const irrevocable: Plan['steps'][number] = {
  id: 'repair',
  description: 'Repair the file system',
  changes: [],
  declaredFolders: [],
  backup: null,
  verify: 'e2fsck -fn finds nothing',
  undo: { possible: false, why: 'no room for the undo file' },
  interrupt: 'finish',
  interruptBoundSeconds: 600,
};

describe('the key of the agent', () => {
  const verdict = ({ world, pack }: Papers, agentKeys: string[] = []) =>
    verifyPack(pack, { root: world.root.digest, accountKeys: world.account.digest, agentKeys }, []);
  const noted = (made: Papers) =>
    verdict(made).checks.filter(({ subject }) => subject === 'agent key');

  it('is noted as told by the orders alone, unless grant or whoever verifies names it', async () => {
    const made = await papers();
    const { world } = made;
    expect(noted(made)).toMatchObject([{ verdict: 'note' }]);
    expect(noted(made)[0]?.detail).toContain(`that ${world.agent.fingerprint} is the agent`);
    const { server, agent } = world;
    const granted = await papers({
      world,
      grant: { servers: [{ ...server, agentKey: agent.fingerprint }] },
    });
    expect(noted(granted)).toEqual([]);
    const pinned = verdict(made, [agent.fingerprint]);
    expect(pinned.hasFailed).toBe(false);
    expect(pinned.checks.filter(({ subject }) => subject === 'agent key')).toEqual([]);
  });

  it('must be the one that is required', async () => {
    const { checks } = verdict(await papers(), [createWorldKey().fingerprint]);
    expect(checks.find(({ subject }) => subject === 'agent of 1042/1')).toMatchObject({
      verdict: 'fails',
      detail: expect.stringContaining('is not that of --agent'),
    });
  });
});

describe('a job that the agent would have refused fails', () => {
  it.each<[string, Partial<Plan>['steps'], RegExp]>([
    ['a step that cannot be undone', [irrevocable], /step repair cannot be undone, and the auth/],
    ['no step that cannot be undone', undefined, /^$/],
  ])('when a plan has %s and the grant accepts none', async (_, steps, finding) => {
    const world = await createTrustWorld();
    const plan = world.signPlan(steps && { steps });
    const made = await papers({
      world,
      grant: { acceptsStepsWithoutUndo: false },
      order: { action: 'filesystem.repair', plan: plan.digest },
    });
    job(made.pack).documents.plan = packed(plan.envelope);
    expect(findings(made).join()).toMatch(finding);
    const accepted = await papers({ world, order: made.order.payload });
    job(accepted.pack).documents.plan = packed(plan.envelope);
    expect(findings(accepted).filter((one) => one.includes('undone'))).toEqual([]);
  });

  it('when what makes no plan, or was applied without it, changed the server and the grant wants undo', async () => {
    const grant = { acceptsStepsWithoutUndo: false };
    const command = { action: 'command.run', parameters: { argv: ['id'] } };
    expect(await after({ grant, order: command })).toContain('command.run cannot be undone');
    expect(await after({ order: command })).toBe('');
    expect(await after({ grant })).toBe('');
    expect(await after({ grant, order: { action: 'filesystem.repair' } })).toContain(
      'is applied by a plan, and the order names none',
    );
  });

  it.each<[string, Partial<Order>, RegExp]>([
    ['', {}, /^$/],
    ['another action', { action: 'filesystem.check' }, /another action than that of 1042\/1/],
    ['other parameters', { parameters: { device: '/dev/vdc' } }, /another set of parameters/],
    ['no authorization', { authorization: null }, /another authorization/],
  ])('when an undo says otherwise than its job: %s', async (_, changes, finding) => {
    const { world, pack, grant, order } = await withRepair();
    const { authorization, action, parameters } = order.payload;
    const undone = { authorization, action, parameters, mode: 'undo' as const };
    const undo = await papers({
      world,
      grant: grant.payload,
      order: { ...undone, undoes: order.payload.job, job: uuidV7(), ...changes },
    });
    const both = { ...undo.pack, jobs: [...pack.jobs, { ...job(undo.pack), name: '1042/2' }] };
    const failed = findings({ world, pack: both, grant, order });
    expect(failed.filter((one) => one.startsWith('undo of')).join()).toMatch(finding);
  });
});

describe('an undo of a job that is in another pack', () => {
  it('is told of, and does not make the pack fail', async () => {
    const { world, pack } = await papers({
      order: { action: 'filesystem.repair', mode: 'undo', undoes: uuidV7() },
    });
    const pins = { root: world.root.digest, accountKeys: world.account.digest };
    const notes = verifyPack(pack, pins, []).checks.filter(({ verdict }) => verdict === 'note');
    expect(notes.map(({ detail }) => detail).join()).toContain('which is not in this pack');
    expect(findings({ world, pack } as Papers).filter((one) => one.startsWith('undo of'))).toEqual(
      [],
    );
  });
});
