import { randomBytes, randomUUID } from 'node:crypto';
import { beforeAll, describe, expect, it } from 'vitest';
import type { ErrorBody } from '../../test/fixtures/http-api.ts';
import { alarms, idOf, reconnect, useJobFields } from '../../test/fixtures/job-fields.ts';
import { begin, takeTheField } from '../../test/fixtures/ordered-jobs.ts';
import type { Field } from '../../test/fixtures/ordered-jobs.ts';
import { encodeLog } from '../../test/fixtures/test-agent.ts';
import { sent } from '../../test/fixtures/tenant.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import type { SignedDocument } from '../../test/fixtures/trust-world.ts';
import { givenReference } from '../../proto/documents/given-reference.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import type { Credential } from '../../proto/documents/kinds/credential.ts';
import type { Grant } from '../../proto/documents/kinds/grant.ts';
import { sealedDigest } from '../../proto/documents/sealed-output.ts';
import { CredentialSweep } from './credential-sweep.ts';

const CREDENTIALS = '/api/v1/credentials';
const scene = useJobFields();
const log = encodeLog('one\n');
const run = { action: 'command.run', parameters: { argv: ['cat'] } };

interface CredentialBody {
  id: string;
  number: number;
  kind: string;
  name: string;
  state: string;
  orders: number;
  jobName: string | null;
  openedBy: string | null;
  digest: string;
}

let field: Field;
let grant: SignedDocument<'grant'>;
beforeAll(async () => {
  field = await scene.newField();
  grant = await permit();
});

const client = () => field.orders.tenant.client;
const world = () => field.orders.tenant.world;

async function permit(changes: Partial<Grant> = {}): Promise<SignedDocument<'grant'>> {
  const signed = world().signGrant(changes);
  expect((await client().post('/api/v1/grants', sent(signed.envelope))).status).toBe(201);
  return signed;
}

interface Given {
  body: { envelope: string; sealed: string };
  sealed: Buffer;
  signed: SignedDocument<'credential'>;
}

function sign(
  changes: Partial<Credential> = {},
  signers?: Signer[],
  sealed = randomBytes(99),
): Given {
  const full = { grant: grant.digest, sealed: sealedDigest(sealed), ...changes };
  const signed = world().signCredential(full, signers);
  return { signed, sealed, body: { ...sent(signed.envelope), sealed: sealed.toString('base64') } };
}

async function give(changes: Partial<Credential> = {}) {
  const given = sign(changes);
  const answer = await client().post<CredentialBody>(CREDENTIALS, given.body);
  expect(answer.status).toBe(201);
  return { ...given, credential: answer.body };
}

const inputsOf = ({ signed }: Given) => ({ stdin: givenReference(signed.digest) });

async function storedSealed(id: string): Promise<unknown> {
  const rows = await scene.database.query('select sealed from credentials where id = $1', [id]);
  return rows[0]!['sealed'];
}

async function auditOf(chain: string): Promise<{ kind: string; actor: string; content: object }[]> {
  return scene.database.query(
    'select kind, actor, content from audit_entries where chain = $1 order by sequence',
    [chain],
  );
}

describe('a secret that a client gives', () => {
  it('is kept sealed, told of without what it is, and the same one twice is one', async () => {
    const { body, credential, sealed } = await give();
    expect(credential).toMatchObject({ kind: 'given', name: 'stdin', state: 'usable', orders: 0 });
    expect(await storedSealed(credential.id)).toEqual(sealed);
    expect((await client().post<CredentialBody>(CREDENTIALS, body)).body.id).toBe(credential.id);
    const { engineer } = scene.operation;
    for (const reference of [`C-${credential.number}`, String(credential.number), credential.id]) {
      const found = await engineer.get<CredentialBody>(`${CREDENTIALS}/${reference}`);
      expect(found.body).toEqual(credential);
      expect(JSON.stringify(found.body)).not.toContain(sealed.toString('base64'));
    }
    const chain = await auditOf(`account:${field.orders.tenant.accountId}`);
    expect(chain.filter(({ kind }) => kind === 'credential.given').at(-1)).toMatchObject({
      actor: `person:${client().caller.personId}`,
      content: { credential: credential.id, action: 'command.run', input: 'stdin' },
    });
  });

  it('goes to the agent with the orders that name it, and with no others', async () => {
    const given = await give();
    const order = await field.orders.place({
      ...run,
      authorization: grant.digest,
      sealedInputs: inputsOf(given),
    });
    const other = await field.orders.place({ ...run, authorization: grant.digest });
    const delivered = await field.session.delivery(idOf(order));
    expect(delivered.given).toEqual([
      { document: Buffer.from(given.signed.envelope), sealed: given.sealed },
    ]);
    expect((await field.session.delivery(idOf(other))).given).toEqual([]);
    const path = `${CREDENTIALS}?job=${idOf(order)}`;
    const { body } = await client().get<{ items: CredentialBody[] }>(path);
    expect(body.items).toMatchObject([{ id: given.credential.id, orders: 1 }]);
  });

  const flaws: [string, number, () => Given | Promise<Given>][] = [
    ['signer_unknown', 400, () => sign({}, [createWorldKey().signer])],
    ['signer_unknown', 400, () => sign({}, [scene.operation.certified.signer])],
    ['signer_unknown', 400, () => sign({}, [field.orders.tenant.world.account.recovery.signer])],
    ['sealed_mismatch', 400, () => sign({ sealed: `sha256:${'0'.repeat(64)}` })],
    ['secret_too_large', 400, () => sign({}, undefined, randomBytes(13 * 1024))],
    ['account_mismatch', 400, () => sign({ account: randomUUID() })],
    ['grant_not_found', 404, () => sign({ grant: `sha256:${'0'.repeat(64)}` })],
    ['grant_server_not_covered', 409, () => sign({ server: randomUUID() })],
    ['input_unknown', 400, () => sign({ input: 'password' })],
    ['input_unknown', 400, () => sign({ action: 'command.none' })],
    ['agent_changed', 409, () => sign({ agentKey: createWorldKey().fingerprint })],
    [
      'grant_action_not_covered',
      409,
      async () => {
        const narrow = await permit({ actions: [{ pattern: 'filesystem.*' }] });
        return sign({ grant: narrow.digest });
      },
    ],
    [
      'grant_revoked',
      409,
      async () => {
        const ended = await permit();
        await client().post('/api/v1/revocations', { grant: ended.payload.id });
        return sign({ grant: ended.digest });
      },
    ],
    [
      'credential_exists',
      409,
      async () => sign({ id: (await give()).credential.id, issuedAt: world().now + 1 }),
    ],
  ];
  it.each(flaws)('is refused as %s (%i), and nothing of it is kept', async (code, status, make) => {
    const given = await make();
    const before = await scene.database.query('select count(*) from credentials');
    const answer = await client().post<ErrorBody>(CREDENTIALS, given.body);
    expect([answer.status, answer.body.error.code]).toEqual([status, code]);
    expect(await scene.database.query('select count(*) from credentials')).toEqual(before);
  });

  it('is not named by an order where nobody gave it, or only somebody else did', async () => {
    const unknown = givenReference(`sha256:${'0'.repeat(64)}`);
    const order = field.orders.sign({ ...run, sealedInputs: { stdin: unknown } });
    expect((await field.orders.post(order)).body.error.code).toBe('credential_not_found');
    const stranger = await takeTheField(
      scene.side,
      scene.operation,
      await scene.operation.addTenant(),
    );
    const stolen = stranger.orders.sign({ ...run, sealedInputs: inputsOf(await give()) });
    expect((await stranger.orders.post(stolen)).body.error.code).toBe('credential_not_found');
    stranger.agent.close();
  });

  it.each(['unsigned', 'signed'])(
    'that is withdrawn (%s) is kept and sent no longer',
    async (how) => {
      const given = await give();
      const order = {
        ...run,
        authorization: grant.digest,
        sealedInputs: inputsOf(given),
      };
      // Ordered while the agent is away, and withdrawn before it comes back.
      await field.session.close();
      const waiting = await field.orders.place(order);
      const { id, number } = given.credential;
      const revoke = world().signRevoke({ grants: [id] });
      const body = how === 'signed' ? sent(revoke.envelope) : { credential: `C-${number}` };
      const answer = await client().post<{ revoked: string[] }>('/api/v1/revocations', body);
      expect(answer).toMatchObject({ status: 201, body: { revoked: [id] } });
      expect(await storedSealed(id)).toBe(null);
      field.session = await field.agent.connect();
      expect((await field.session.delivery(idOf(waiting))).given).toEqual([]);
      const told = await field.session.answers.find(({ revocations }) => revocations);
      expect(told.ids).toContain(id);
      const isProved = told.documents!.some((one) => one.equals(Buffer.from(revoke.envelope)));
      expect(isProved).toBe(how === 'signed');
      const late = await field.orders.post(field.orders.sign(order));
      expect([late.status, late.body.error.code]).toEqual([409, 'credential_unusable']);
      const seen = await client().get<CredentialBody>(`${CREDENTIALS}/${id}`);
      expect(seen.body.state).toBe('withdrawn');
      const chain = await auditOf(`account:${field.orders.tenant.accountId}`);
      expect(chain.at(-1)).toMatchObject({
        kind: 'credential.withdrawn',
        content: { subject: id, signed: how === 'signed' },
      });
    },
  );

  it('is kept and sent no longer when its grant is taken back', async () => {
    const own = await permit();
    const { credential, ...given } = await give({ grant: own.digest });
    await client().post('/api/v1/revocations', { grant: own.payload.id });
    expect(await storedSealed(credential.id)).toBe(null);
    const late = field.orders.sign({
      ...run,
      authorization: own.digest,
      sealedInputs: inputsOf(given),
    });
    expect((await field.orders.post(late)).body.error.code).toBe('credential_unusable');
  });

  it('is let go of when its grant is over, also without anybody asking', async () => {
    const own = await permit();
    const { credential } = await give({ grant: own.digest });
    await scene.database.query('update grants set expires_at = now() where id = $1', [
      own.payload.id,
    ]);
    const sweep = new CredentialSweep({
      queries: scene.database,
      log: { warn: () => undefined } as never,
    });
    sweep.start();
    sweep.stop();
    await expect.poll(() => storedSealed(credential.id)).toBe(null);
    const seen = await client().get<CredentialBody>(`${CREDENTIALS}/${credential.id}`);
    expect(seen.body.state).toBe('ended');
  });

  it('is opened by nobody here', async () => {
    const { credential } = await give();
    const answer = await client().get<ErrorBody>(`${CREDENTIALS}/${credential.id}/sealed`);
    expect([answer.status, answer.body.error.code]).toEqual([409, 'credential_is_given']);
    const opened = await client().post<ErrorBody>(`${CREDENTIALS}/${credential.id}/opened`);
    expect(opened.status).toBe(409);
  });
});

describe('a secret that a job made', () => {
  const sealedOutputs = [
    { name: 'password', sealed: Buffer.from('sealed password') },
    { name: 'key', sealed: Buffer.from('sealed key') },
  ];

  async function make() {
    const order = await begin(field, run);
    const ended = field.agent.ended(order, log, { sealedOutputs });
    field.session.send({ ended });
    await field.session.acknowledged(idOf(order), 'ended');
    const path = `${CREDENTIALS}?job=${idOf(order)}`;
    const { body } = await client().get<{ items: CredentialBody[] }>(path);
    return { order, ended, items: body.items.toSorted((a, b) => a.number - b.number) };
  }

  it('is stored with the end of the job, and once, however often that is told', async () => {
    const { order, ended, items } = await make();
    const name = (await field.orders.job(order)).name;
    expect(items).toMatchObject([
      { kind: 'made', name: 'password', state: 'unopened', jobName: name },
      { kind: 'made', name: 'key', state: 'unopened', jobName: name },
    ]);
    const { session } = await reconnect(field, [idOf(order)]);
    field.session = session;
    session.send({ ended });
    await session.acknowledged(idOf(order), 'ended');
    const again = await client().get<{ items: object[] }>(`${CREDENTIALS}?job=${idOf(order)}`);
    expect(again.body.items).toHaveLength(2);
    expect(await alarms(field, order)).toEqual([]);
  });

  it('is read by the client as often as they like, and gone when they say they have it', async () => {
    const { items, order } = await make();
    const path = `${CREDENTIALS}/C-${items[0]!.number}`;
    for (let time = 0; time < 2; time++) {
      const read = await client().get<{ sealed: string }>(`${path}/sealed`);
      expect(Buffer.from(read.body.sealed, 'base64')).toEqual(sealedOutputs[0]!.sealed);
      expect(read.headers.get('cache-control')).toBe('no-store');
    }
    for (let time = 0; time < 2; time++) {
      const opened = await client().post<CredentialBody>(`${path}/opened`);
      const openedBy = client().caller.name;
      expect(opened).toMatchObject({ status: 200, body: { state: 'opened', openedBy } });
    }
    expect(await storedSealed(items[0]!.id)).toBe(null);
    const gone = await client().get<ErrorBody>(`${path}/sealed`);
    expect([gone.status, gone.body.error.code]).toEqual([409, 'credential_opened']);
    const { interventionId } = await field.orders.job(order);
    const chain = await auditOf(`intervention:${interventionId}`);
    const told = chain.filter(({ content }) => 'name' in content && content.name === 'password');
    expect(
      told.filter(({ content }) => JSON.stringify(content).includes(idOf(order))),
    ).toMatchObject([
      { kind: 'credential.made' },
      { kind: 'credential.read' },
      { kind: 'credential.opened' },
    ]);
    const other = await client().get(`${CREDENTIALS}/C-${items[1]!.number}/sealed`);
    expect(other.status).toBe(200);
  });

  it('is withdrawn by nobody', async () => {
    const { items } = await make();
    const revoke = world().signRevoke({ grants: [items[0]!.id] });
    for (const body of [{ credential: items[0]!.id }, sent(revoke.envelope)]) {
      const answer = await client().post<ErrorBody>('/api/v1/revocations', body);
      expect([answer.status, answer.body.error.code]).toEqual([409, 'credential_is_made']);
    }
  });
});

describe('the list of secrets', () => {
  it('is paged, newest first, and takes a server or a job', async () => {
    const first = await client().get<{ items: CredentialBody[]; next: string }>(
      `${CREDENTIALS}?limit=2`,
    );
    const rest = await client().get<{ items: CredentialBody[] }>(
      `${CREDENTIALS}?limit=2&after=${first.body.next}`,
    );
    const numbers = [...first.body.items, ...rest.body.items].map(({ number }) => number);
    expect(numbers).toEqual(numbers.toSorted((a, b) => b - a));
    expect(new Set(numbers).size).toBe(4);
    const elsewhere = await scene.newField();
    const { serverId } = elsewhere.orders.tenant;
    const none = await client().get<{ items: object[] }>(`${CREDENTIALS}?server=${serverId}`);
    expect(none.body.items).toEqual([]);
    const wrong = await client().get<ErrorBody>(`${CREDENTIALS}?after=x`);
    expect(wrong.body.error.code).toBe('cursor_invalid');
  });
});
