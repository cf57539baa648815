import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { makeTlsKey } from '../../test/fixtures/test-agent.ts';
import { CONTROL_PLANE_NAME } from '../../proto/wire.ts';
import { AuthorityMismatchError, requireSameAuthority } from './authority-record.ts';
import { openCertificateAuthority } from './certificate-authority.ts';

const folders: string[] = [];
function folder(): string {
  const made = mkdtempSync(path.join(tmpdir(), 'ivca-'));
  folders.push(made);
  return path.join(made, 'ca');
}
afterEach(() => {
  for (const made of folders.splice(0)) rmSync(made, { recursive: true, force: true });
});

const AGENT = '11111111-2222-4333-8444-555555555555';
const test = useTestDatabase();

describe('certificate authority', () => {
  it('is made at the first start, with a key only its owner can read, and stays the same', async () => {
    const directory = folder();
    const first = await openCertificateAuthority(directory);
    const second = await openCertificateAuthority(directory);
    expect(second.pin).toBe(first.pin);
    expect(second.certificatePem).toBe(first.certificatePem);
    expect(statSync(path.join(directory, 'ca.key')).mode & 0o777).toBe(0o600);
    expect(statSync(directory).mode & 0o777).toBe(0o700);
  });

  it('gets its certificate again when the first start was cut short after the key', async () => {
    const directory = folder();
    const first = await openCertificateAuthority(directory);
    rmSync(path.join(directory, 'ca.crt'));
    const again = await openCertificateAuthority(directory);
    expect(again.pin).toBe(first.pin);
  });

  it('refuses to go on without its key, or with another one', async () => {
    const directory = folder();
    await openCertificateAuthority(directory);
    const key = readFileSync(path.join(directory, 'ca.key'));
    rmSync(path.join(directory, 'ca.key'));
    await expect(openCertificateAuthority(directory)).rejects.toThrow(/its key is not/);
    const other = folder();
    await openCertificateAuthority(other);
    writeFileSync(path.join(other, 'ca.key'), key);
    await expect(openCertificateAuthority(other)).rejects.toThrow(/not the key of/);
  });

  it('is the one the database was used with', async () => {
    const authority = await openCertificateAuthority(folder());
    await requireSameAuthority(test.database, authority);
    await requireSameAuthority(test.database, authority);
    const other = await openCertificateAuthority(folder());
    await expect(requireSameAuthority(test.database, other)).rejects.toBeInstanceOf(
      AuthorityMismatchError,
    );
  });

  it('gives the listener a certificate for the fixed name, as old as the authority itself', async () => {
    const authority = await openCertificateAuthority(folder());
    const { key, cert } = await authority.issueServerCertificate();
    const leaf = new X509Certificate(cert);
    expect(leaf.checkHost(CONTROL_PLANE_NAME)).toBe(CONTROL_PLANE_NAME);
    expect(leaf.checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
    expect(leaf.ca).toBe(false);
    const ca = new X509Certificate(authority.certificatePem);
    expect(leaf.verify(ca.publicKey)).toBe(true);
    expect(leaf.validFrom).toBe(ca.validFrom);
    expect(cert).toContain(authority.certificatePem.trim());
  });

  it('reads back what it issued to an agent', async () => {
    const authority = await openCertificateAuthority(folder());
    const { request } = await makeTlsKey();
    const issued = await authority.issueAgentCertificate(request, AGENT, 3600);
    expect(authority.readAgentCertificate(issued.der)).toMatchObject({
      agentId: AGENT,
      serial: issued.serial,
      expiresAt: issued.expiresAt,
    });
    const leaf = new X509Certificate(issued.der);
    expect(leaf.keyUsage).toEqual(['1.3.6.1.5.5.7.3.2']);
    expect(leaf.validToDate.getTime() - leaf.validFromDate.getTime()).toBe(3600_000);
  });

  it('takes neither server certificates, nor foreign ones, nor garbage for an agent', async () => {
    const authority = await openCertificateAuthority(folder());
    const foreign = await openCertificateAuthority(folder());
    const { request } = await makeTlsKey();
    const { cert } = await authority.issueServerCertificate();
    const strange = await foreign.issueAgentCertificate(request, AGENT, 3600);
    for (const der of [
      new X509Certificate(cert).raw,
      authority.certificateDer,
      strange.der,
      Buffer.from('garbage'),
      Buffer.alloc(0),
    ]) {
      expect(authority.readAgentCertificate(der)).toBeNull();
    }
  });

  it('refuses requests that are no requests, were changed, or are too large', async () => {
    const authority = await openCertificateAuthority(folder());
    const { request } = await makeTlsKey();
    const changed = Buffer.from(request);
    changed[changed.length - 10]! ^= 1;
    for (const bytes of [changed, Buffer.from('x'), Buffer.alloc(0), Buffer.alloc(9000)]) {
      await expect(authority.issueAgentCertificate(bytes, AGENT, 60)).rejects.toMatchObject({
        code: 'certificate_request_invalid',
      });
    }
  });
});
