import { randomBytes, randomUUID } from 'node:crypto';
import type { Operation } from '../../../test/fixtures/agent-side.ts';
import type { ApiPerson } from '../../../test/fixtures/http-api.ts';
import { sent } from '../../../test/fixtures/tenant.ts';
import type { Tenant } from '../../../test/fixtures/tenant.ts';
import { uuidV7 } from '../../../test/fixtures/trust-world.ts';
import { sealedDigest } from '../../../proto/documents/sealed-output.ts';
import { addSignature } from '../../../proto/documents/document.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import { insertMade } from '../../credentials/credential-store.ts';
import type { Database } from '../../database/database.ts';
import type { Asker, Question } from './expected-answers.ts';

/** What every question is about: an account with one of everything, and more of it on demand. */
export interface Subject {
  account: string;
  server: string;
  grant: string;
  intervention: string;
  job: string;
  root: object;
  certification: object;
  accountKeys: object;
  /** What is sealed in the secrets that were made here, base64. */
  sealed: string[];
  /** A name nobody has. */
  name: () => string;
  invitation(): Promise<string>;
  person(): Promise<string>;
  token(): Promise<string>;
  newServer(): Promise<string>;
  signedGrant(): object;
  newGrant(): Promise<string>;
  newIntervention(): Promise<string>;
  /** Signed by whoever asks, where they may sign orders. */
  order(asker: Asker): object;
  newJob(state: 'queued' | 'delivered'): Promise<string>;
  proposal(asker: Asker): Promise<Question>;
  signedCredential(): object;
  /** One that the client gave. */
  newCredential(): Promise<string>;
  /** Made by the tenant's job for the client; not opened yet. */
  newMadeCredential(): Promise<string>;
}

export function createSubject(tenant: Tenant, operation: Operation, database: Database): Subject {
  const { admin, engineer, certified, lead, world } = operation;
  const { client } = tenant;
  const name = () => `n-${randomUUID().slice(0, 8)}`;

  function sign(asker: Asker, changes: Partial<Order> = {}) {
    const nonce = randomBytes(16).toString('base64url');
    return tenant.world.signOrder({ job: uuidV7(), nonce, ...changes }, [
      asker === 'lead' ? lead.signer : certified.signer,
    ]);
  }
  async function made(person: ApiPerson, path: string, body: object): Promise<string> {
    const answer = await person.post<{ id: string }>(path, body);
    if (answer.status !== 201) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return answer.body.id;
  }
  const orderBody = (envelope: Uint8Array) => ({ order: sent(envelope).envelope });
  async function invite() {
    const path = '/api/v1/people';
    const body = { name: name(), role: 'client', account: tenant.id };
    return (await admin.post<{ invitation: string; person: { id: string } }>(path, body)).body;
  }

  const sealedBytes: string[] = [];
  function seal(): Buffer {
    const sealed = randomBytes(64);
    sealedBytes.push(sealed.toString('base64'));
    return sealed;
  }
  const signedCredential = () => {
    const sealed = seal();
    const id = randomUUID();
    const { envelope } = tenant.world.signCredential({
      id,
      grant: tenant.grantDigest,
      sealed: sealedDigest(sealed),
    });
    return { ...sent(envelope), sealed: sealed.toString('base64') };
  };

  return {
    account: tenant.id,
    server: tenant.server,
    grant: tenant.grant,
    intervention: tenant.intervention.id,
    job: tenant.job,
    root: sent(world.root.envelope),
    certification: sent(certified.envelope),
    accountKeys: sent(tenant.world.account.envelope),
    sealed: sealedBytes,
    name,
    invitation: async () => (await invite()).invitation,
    person: async () => (await invite()).person.id,
    token: () => made(client, '/api/v1/tokens', { label: 'x' }),
    newServer: () => made(client, '/api/v1/servers', { name: name() }),
    signedGrant: () => sent(tenant.world.signGrant().envelope),
    newGrant: () => made(client, '/api/v1/grants', sent(tenant.world.signGrant().envelope)),
    newIntervention: () =>
      made(engineer, '/api/v1/interventions', { server: tenant.server, ticket: name() }),
    order: (asker) => orderBody(sign(asker).envelope),
    newJob: async (state) => {
      const job = await made(engineer, '/api/v1/jobs', orderBody(sign('engineer').envelope));
      await database.query('update jobs set state = $2 where id = $1', [job, state]);
      return job;
    },
    signedCredential,
    newCredential: () => made(client, '/api/v1/credentials', signedCredential()),
    newMadeCredential: async () => {
      const id = randomUUID();
      const sealed = seal();
      const job = { id: tenant.job, accountId: tenant.id, serverId: tenant.server, action: 'a.b' };
      const digest = sealedDigest(sealed);
      await insertMade(database, job, [{ name: `n${id}`, digest, sealed }]);
      return (await client.get<{ items: { id: string }[] }>('/api/v1/credentials')).body.items[0]!
        .id;
    },
    proposal: async (asker) => {
      const grant = tenant.world.signGrant({ engineersForClassC: 2 });
      await made(client, '/api/v1/grants', sent(grant.envelope));
      const { envelope } = sign('engineer', {
        action: 'command.run',
        parameters: { argv: ['true'] },
        authorization: grant.digest,
      });
      const ref = await made(engineer, '/api/v1/jobs', orderBody(envelope));
      const signed = addSignature(envelope, asker === 'lead' ? lead.signer : certified.signer);
      return { ref, body: orderBody(signed) };
    },
  };
}
