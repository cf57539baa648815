import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { randomUUID, X509Certificate } from 'node:crypto';
import { status } from '@grpc/grpc-js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EnrollRequest__Output } from '../../proto/wire.ts';
import { collectFacts } from '../facts.ts';
import { AlreadyEnrolledError, enroll } from './enroll.ts';
import type { EnrollOptions } from './enroll.ts';
import { loadIdentity } from './identity.ts';
import { UntrustedServerError } from './server-certificate.ts';
import { TestAuthority } from './testing/certificates.ts';
import type { ServerOptions } from './testing/certificates.ts';
import { FarEnd } from './testing/far-end.ts';
import type { FarEndOptions } from './testing/far-end.ts';
import { makeTrustDocuments } from './testing/trust-documents.ts';

let directory: string;
let farEnd: FarEnd | undefined;
let requests: EnrollRequest__Output[];
const documents = makeTrustDocuments();
const ids = { agentId: randomUUID(), serverId: randomUUID(), accountId: documents.account };

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'iv-en-'));
  requests = [];
});
afterEach(async () => {
  await farEnd?.stop();
  farEnd = undefined;
  await rm(directory, { recursive: true, force: true });
});

async function startFarEnd(
  server: ServerOptions = {},
  options: FarEndOptions = {},
): Promise<FarEnd> {
  const authority = options.authority ?? (await TestAuthority.create());
  farEnd = await FarEnd.start({
    authority,
    server: await authority.issueServer(server),
    enroll: async (request) => {
      requests.push(request);
      return {
        ...ids,
        certificate: await authority.issueAgent(request.certificateRequest!),
        rootChain: [documents.root],
        accountKeys: [documents.accountKeys],
      };
    },
    ...options,
  });
  return farEnd;
}

function optionsFor(end: FarEnd, changes: Partial<EnrollOptions> = {}): EnrollOptions {
  return {
    address: end.address,
    token: 'x'.repeat(43),
    mode: 'resident',
    pins: {
      caPin: end.pin,
      rootDigest: documents.rootDigest,
      accountKeysDigest: documents.accountKeysDigest,
    },
    facts: collectFacts(),
    stateDirectory: directory,
    nowMs: Date.now,
    replace: false,
    ...changes,
  };
}

describe('enroll', () => {
  it('makes keys on the machine and keeps them where only root reads them', async () => {
    const end = await startFarEnd();
    const identity = await enroll(optionsFor(end));
    expect(identity).toMatchObject({ ...ids, mode: 'resident' });
    expect(requests[0]).toMatchObject({
      token: 'x'.repeat(43),
      agentKey: identity.signer.key.public,
      ageRecipient: identity.ageRecipient,
    });
    expect(await loadIdentity(directory)).toEqual({
      ...identity,
      signer: { key: identity.signer.key, sign: expect.any(Function) as unknown },
    });
    const folder = path.join(directory, 'identity');
    expect((await stat(folder)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(folder)) {
      expect((await stat(path.join(folder, name))).mode & 0o777).toBe(0o600);
    }
    const certificate = new X509Certificate(identity.certificatePem);
    expect(certificate.verify(new X509Certificate(identity.authorityPem).publicKey)).toBe(true);
  });

  it('stores the pinned documents', async () => {
    const end = await startFarEnd();
    await enroll(optionsFor(end));
    expect(await readdir(path.join(directory, 'trust'))).toEqual(
      expect.arrayContaining(['account-keys', 'pins.json', 'root']),
    );
    expect(await readdir(path.join(directory, 'trust/root'))).toEqual(['0001.json']);
  });

  it('does not give its token to a control plane with another authority', async () => {
    const end = await startFarEnd();
    const pins = { ...optionsFor(end).pins, caPin: `sha256:${'0'.repeat(64)}` };
    await expect(enroll(optionsFor(end, { pins }))).rejects.toThrow(UntrustedServerError);
    expect(requests).toEqual([]);
    expect(await readdir(directory)).toEqual([]);
  });

  it.each<[string, ServerOptions]>([
    ['for another name', { name: 'elsewhere.example' }],
    ['of an agent', { usage: '1.3.6.1.5.5.7.3.2' }],
    ['that ended', { fromSeconds: -7200, untilSeconds: -3600 }],
    ['that is not valid yet', { fromSeconds: 3600, untilSeconds: 7200 }],
  ])('refuses a certificate %s', async (_name, server) => {
    const end = await startFarEnd(server);
    await expect(enroll(optionsFor(end))).rejects.toThrow(UntrustedServerError);
    expect(requests).toEqual([]);
  });

  it('refuses a certificate that names the pinned authority but was signed by another', async () => {
    const real = await TestAuthority.create();
    const other = await TestAuthority.create();
    const end = await startFarEnd({}, { authority: real, server: await other.issueServer() });
    await expect(enroll(optionsFor(end))).rejects.toThrow(UntrustedServerError);
    expect(requests).toEqual([]);
  });

  it('refuses a server that does not show its authority', async () => {
    const end = await startFarEnd({}, { sendsAuthority: false });
    await expect(enroll(optionsFor(end))).rejects.toThrow(/did not send/);
  });

  it.each(['rootDigest', 'accountKeysDigest'] as const)(
    'refuses documents with another %s',
    async (name) => {
      const end = await startFarEnd();
      const pins = { ...optionsFor(end).pins, [name]: `sha256:${'0'.repeat(64)}` };
      await expect(enroll(optionsFor(end, { pins }))).rejects.toThrow(/pinned document/);
      expect(await readdir(directory)).toEqual([]);
    },
  );

  it('refuses the keys of another account', async () => {
    const end = await startFarEnd({}, {});
    ids.accountId = randomUUID();
    try {
      await expect(enroll(optionsFor(end))).rejects.toThrow(/another account/);
    } finally {
      ids.accountId = documents.account;
    }
  });

  it('says when the token is not accepted, and writes nothing', async () => {
    const end = await startFarEnd(
      {},
      {
        enroll: () => {
          throw Object.assign(new Error(), {
            code: status.PERMISSION_DENIED,
            details: 'the token was used',
          });
        },
      },
    );
    await expect(enroll(optionsFor(end))).rejects.toMatchObject({
      code: status.PERMISSION_DENIED,
      details: 'the token was used',
    });
    expect(await readdir(directory)).toEqual([]);
  });

  it('refuses to enrol twice, unless told to replace the identity', async () => {
    const end = await startFarEnd();
    const first = await enroll(optionsFor(end));
    await expect(enroll(optionsFor(end))).rejects.toThrow(AlreadyEnrolledError);
    expect(requests).toHaveLength(1);
    const second = await enroll(optionsFor(end, { replace: true }));
    expect(second.signer.key.public).not.toBe(first.signer.key.public);
    expect((await loadIdentity(directory)).signer.key.public).toBe(second.signer.key.public);
  });

  it('fails when nobody answers', async () => {
    const end = await startFarEnd();
    const options = optionsFor(end);
    await end.stop();
    farEnd = undefined;
    await expect(enroll(options)).rejects.toThrow(/ECONNREFUSED/);
  });
});
