// @peculiar/x509 needs this to have run first.
import 'reflect-metadata';
import * as x509 from '@peculiar/x509';
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  randomBytes,
  webcrypto,
  X509Certificate,
} from 'node:crypto';
import { mkdir, open, readFile, rename } from 'node:fs/promises';
import path from 'node:path';
import { CONTROL_PLANE_NAME } from '../../proto/wire.ts';
import { DomainError } from '../domain-error.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const DAY_MS = 24 * 3600_000;
const CA_LIFETIME_MS = 3650 * DAY_MS;
export const SERVER_CERTIFICATE_LIFETIME_MS = 30 * DAY_MS;
const CERTIFICATE_REQUEST_MAX_BYTES = 8 * 1024;
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export interface IssuedCertificate {
  der: Buffer;
  /** Lower-case hex, as `X509Certificate.serialNumber` in lower case. */
  serial: string;
  expiresAt: Date;
}

/** A certificate of ours, as a peer proved to hold it in the handshake. */
export interface AgentCertificate {
  agentId: string;
  serial: string;
  notBefore: Date;
  expiresAt: Date;
}

/** Issues every certificate of this installation; its public key is what agents pin. */
export interface CertificateAuthority {
  /** `sha256:` and the hex SHA-256 of the CA's SubjectPublicKeyInfo. */
  readonly pin: string;
  readonly certificatePem: string;
  readonly certificateDer: Buffer;
  /** A new key and certificate for the agent listener, with the CA behind it, so that an enrolling agent can compare the pin. */
  issueServerCertificate(): Promise<{ key: string; cert: string; expiresAt: Date }>;
  /**
   * Answers a certificate request with a certificate whose common name is the agent's id; whatever else the
   * request asks for is ignored. Throws DomainError `certificate_request_invalid`.
   */
  issueAgentCertificate(
    request: Uint8Array,
    agentId: string,
    lifetimeSeconds: number,
  ): Promise<IssuedCertificate>;
  /** Null unless this authority signed the certificate for an agent. Time is not judged. */
  readAgentCertificate(der: Uint8Array): AgentCertificate | null;
}

/**
 * Opens the authority kept in `directory` (`ca.key`, mode 0600, and `ca.crt`), or makes it when there is
 * none. A key alone (a first start that was cut short) gets its certificate; a certificate alone throws.
 */
export async function openCertificateAuthority(directory: string): Promise<CertificateAuthority> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const keyFile = path.join(directory, 'ca.key');
  const certificateFile = path.join(directory, 'ca.crt');
  let [keyPem, certificatePem] = await Promise.all([
    readIfThere(keyFile),
    readIfThere(certificateFile),
  ]);
  if (keyPem === null) {
    if (certificatePem !== null) throw new Error(`${certificateFile} is there, its key is not`);
    keyPem = await exportKey((await generateKeys()).privateKey);
    await writeDurably(keyFile, keyPem, 0o600);
  }
  if (certificatePem === null) {
    certificatePem = await certifyItself(keyPem);
    await writeDurably(certificateFile, certificatePem, 0o644);
  }
  return authorityOf(keyPem, certificatePem);
}

async function certifyItself(keyPem: string): Promise<string> {
  const spki = createPublicKey(keyPem).export({ type: 'spki', format: 'der' });
  const publicKey = await webcrypto.subtle.importKey('spki', spki, ALGORITHM, true, ['verify']);
  const notBefore = new Date(Date.now() - DAY_MS);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: newSerial(),
    name: 'CN=Intervene agent CA',
    notBefore,
    notAfter: new Date(notBefore.getTime() + CA_LIFETIME_MS),
    keys: { publicKey, privateKey: await importSigningKey(keyPem) },
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign,
        true,
      ),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
    ],
  });
  return certificate.toString('pem');
}

function importSigningKey(keyPem: string): Promise<webcrypto.CryptoKey> {
  const der = x509.PemConverter.decodeFirst(keyPem);
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

async function authorityOf(keyPem: string, certificatePem: string): Promise<CertificateAuthority> {
  const signingKey = await importSigningKey(keyPem);
  const certificate = new x509.X509Certificate(certificatePem);
  const native = new X509Certificate(certificatePem);
  if (!native.checkPrivateKey(createPrivateKey(keyPem))) {
    throw new Error('ca.key is not the key of ca.crt');
  }
  const spki = native.publicKey.export({ type: 'spki', format: 'der' });

  async function issue(
    subject: string,
    publicKey: x509.PublicKey | webcrypto.CryptoKey,
    validity: { notBefore: Date; notAfter: Date },
    purpose: x509.Extension[],
  ): Promise<x509.X509Certificate> {
    return x509.X509CertificateGenerator.create({
      serialNumber: newSerial(),
      subject,
      issuer: certificate.subject,
      ...validity,
      publicKey,
      signingKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        await x509.AuthorityKeyIdentifierExtension.create(certificate),
        ...purpose,
      ],
    });
  }

  return {
    pin: `sha256:${createHash('sha256').update(spki).digest('hex')}`,
    certificatePem,
    certificateDer: native.raw,
    issueServerCertificate: async () => {
      const keys = await generateKeys();
      const notAfter = new Date(Date.now() + SERVER_CERTIFICATE_LIFETIME_MS);
      // Valid from when the CA is: a rescue environment may start with the clock of its image's build.
      const notBefore = certificate.notBefore;
      const leaf = await issue(
        'CN=Intervene control plane',
        keys.publicKey,
        { notBefore, notAfter },
        [
          new x509.ExtendedKeyUsageExtension([SERVER_AUTH], true),
          new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: CONTROL_PLANE_NAME }]),
        ],
      );
      return {
        key: await exportKey(keys.privateKey),
        cert: `${leaf.toString('pem')}\n${certificatePem}`,
        expiresAt: notAfter,
      };
    },
    issueAgentCertificate: async (request, agentId, lifetimeSeconds) => {
      const publicKey = await readCertificateRequest(request);
      // Certificates count whole seconds. Agents reckon their half life from both times.
      const notBefore = new Date(Math.floor(Date.now() / 1000) * 1000);
      const expiresAt = new Date(notBefore.getTime() + lifetimeSeconds * 1000);
      const leaf = await issue(`CN=${agentId}`, publicKey, { notBefore, notAfter: expiresAt }, [
        new x509.ExtendedKeyUsageExtension([CLIENT_AUTH], true),
      ]);
      return { der: Buffer.from(leaf.rawData), serial: leaf.serialNumber.toLowerCase(), expiresAt };
    },
    readAgentCertificate: (der) => readAgentCertificate(der, native),
  };
}

async function readCertificateRequest(request: Uint8Array): Promise<x509.PublicKey> {
  try {
    if (request.byteLength > CERTIFICATE_REQUEST_MAX_BYTES) throw new Error('too large');
    const parsed = new x509.Pkcs10CertificateRequest(new Uint8Array(request));
    const { name, namedCurve } = parsed.publicKey.algorithm as {
      name: string;
      namedCurve?: string;
    };
    if (name !== 'ECDSA' || namedCurve !== 'P-256') throw new Error('not a P-256 key');
    if (!(await parsed.verify())) throw new Error('its signature does not hold');
    return parsed.publicKey;
  } catch (cause) {
    throw new DomainError(
      'invalid',
      'certificate_request_invalid',
      'The certificate request is not a signed PKCS #10 request for a P-256 key.',
      { cause },
    );
  }
}

function readAgentCertificate(
  der: Uint8Array,
  authority: X509Certificate,
): AgentCertificate | null {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
    if (!certificate.checkIssued(authority) || !certificate.verify(authority.publicKey))
      return null;
  } catch {
    return null;
  }
  if (certificate.ca || !certificate.keyUsage?.includes(CLIENT_AUTH)) return null;
  const agentId = /^CN=([0-9a-f-]{36})$/.exec(certificate.subject)?.[1];
  if (agentId === undefined) return null;
  return {
    agentId,
    serial: certificate.serialNumber.toLowerCase(),
    notBefore: certificate.validFromDate,
    expiresAt: certificate.validToDate,
  };
}

function generateKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = await webcrypto.subtle.exportKey('pkcs8', key);
  return x509.PemConverter.encode(der, 'PRIVATE KEY');
}

/** 128 random bits, with a first byte that neither makes the number negative nor loses a leading zero. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = 0x40 | (bytes[0]! & 0x3f);
  return bytes.toString('hex');
}

async function readIfThere(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw error;
  }
}

async function writeDurably(file: string, content: string, mode: number): Promise<void> {
  const temporary = `${file}.new`;
  const handle = await open(temporary, 'w', mode);
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
  await rename(temporary, file);
  const folder = await open(path.dirname(file), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}
