import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { randomUUID, X509Certificate } from 'node:crypto';
import path from 'node:path';
import { insertAgent } from '../../control-plane/agents/agent-store.ts';
import { openCertificateAuthority } from '../../control-plane/agents/certificate-authority.ts';
import { readFacts } from '../../control-plane/agents/facts.ts';
import { openDatabase } from '../../control-plane/database/database.ts';
import { insertServer } from '../../control-plane/servers/server-store.ts';
import { generateSigningKey, keyFingerprint } from '../../proto/documents/keys.ts';
import type { Stack } from '../../test/harness/stack.ts';
import { createKeys } from '../../agent/connection/identity.ts';
import type { LightIdentity } from './light-agent.ts';
import type { FleetCommand, FleetNews } from './fleet-process.ts';

const CERTIFICATE_SECONDS = 3600;
const AT_ONCE = 50;

/**
 * Enrols simulated agents, each with a server, a certificate and a key of its own, straight into the database of
 * a stack: what enrolling costs is not what is measured. They share one TLS key, which nothing compares.
 */
export async function enrolFleet(stack: Stack, count: number): Promise<LightIdentity[]> {
  const authority = await openCertificateAuthority(path.join(stack.data, 'ca'));
  const keys = await createKeys();
  const database = openDatabase({
    host: path.join(stack.data, 'postgres/data'),
    port: 5432,
    user: 'postgres',
    database: 'intervene',
  });
  const [real] = await database.query<{ accountId: string }>(
    'select account_id as "accountId" from agents limit 1',
  );
  const { accountId } = real!;
  const made: LightIdentity[] = [];
  const one = async (): Promise<LightIdentity> => {
    const agentId = randomUUID();
    const serverId = randomUUID();
    const { signer, privateKeyPem } = generateSigningKey();
    const request = keys.certificateRequest;
    const certificate = await authority.issueAgentCertificate(
      request,
      agentId,
      CERTIFICATE_SECONDS,
    );
    const name = `light-${serverId.slice(0, 13)}`;
    await insertServer(database, { id: serverId, accountId, name, serviceId: null, addresses: [] });
    await insertAgent(database, {
      id: agentId,
      serverId,
      accountId,
      mode: 'resident',
      key: signer.key,
      keyFingerprint: keyFingerprint(signer.key),
      ageRecipient: keys.ageRecipient,
      version: '0.1.0',
      facts: readFacts(undefined),
      certificate: { ...certificate, requestHash: Buffer.alloc(32) },
    });
    return {
      agentId,
      serverId,
      tlsKey: keys.tlsKeyPem,
      certificate: new X509Certificate(certificate.der).toString(),
      signingKey: privateKeyPem,
    };
  };
  while (made.length < count) {
    const batch = Math.min(AT_ONCE, count - made.length);
    made.push(...(await Promise.all(Array.from({ length: batch }, one))));
  }
  await database.close();
  return made;
}

/** Simulated agents in a process of their own. */
export class Fleet {
  private readonly child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.child = child;
  }

  static async start(stack: Stack, identities: readonly LightIdentity[]): Promise<Fleet> {
    const { certificatePem } = await openCertificateAuthority(path.join(stack.data, 'ca'));
    const child = fork(path.join(import.meta.dirname, 'fleet-process.ts'), [], {
      serialization: 'advanced',
    });
    const fleet = new Fleet(child);
    const target = { port: stack.agentPort, authority: certificatePem };
    fleet.tell({ type: 'agents', identities: [...identities], target });
    return fleet;
  }

  /** Resolves with how long it took until `count` of them were welcomed, in milliseconds. */
  async connect(count: number): Promise<number> {
    const began = performance.now();
    this.tell({ type: 'connect', count });
    await this.welcomed(count);
    return performance.now() - began;
  }

  /** Resolves when so many are welcomed. */
  async welcomed(count: number): Promise<void> {
    this.tell({ type: 'watch', count });
    for (;;) {
      const [news] = (await once(this.child, 'message')) as [FleetNews];
      if (news.welcomed >= count) return;
    }
  }

  async close(): Promise<void> {
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  private tell(command: FleetCommand): void {
    this.child.send(command);
  }
}
