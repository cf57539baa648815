import 'reflect-metadata';
import { webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
} from '@peculiar/x509';
import type { Extension, X509Certificate } from '@peculiar/x509';
import { CONTROL_PLANE_NAME } from '../../../proto/wire.ts';

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1';
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2';

export interface Validity {
  /** Seconds from now. */
  fromSeconds?: number;
  untilSeconds?: number;
}

export interface ServerOptions extends Validity {
  name?: string;
  usage?: string;
}

export interface KeyAndCertificate {
  certificatePem: string;
  keyPem: string;
}

/** A certificate authority as a control plane has one. */
export class TestAuthority {
  readonly certificate: X509Certificate;
  private readonly keys: webcrypto.CryptoKeyPair;

  private constructor(certificate: X509Certificate, keys: webcrypto.CryptoKeyPair) {
    this.certificate = certificate;
    this.keys = keys;
  }

  static async create(): Promise<TestAuthority> {
    const keys = await makeKeys();
    const certificate = await X509CertificateGenerator.createSelfSigned({
      name: 'CN=test authority',
      keys,
      signingAlgorithm: ALGORITHM,
      ...dates({ fromSeconds: -365 * 24 * 3600, untilSeconds: 365 * 24 * 3600 }),
      extensions: [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign, true),
      ],
    });
    return new TestAuthority(certificate, keys);
  }

  get certificatePem(): string {
    return this.certificate.toString('pem');
  }

  async issueServer(options: ServerOptions = {}): Promise<KeyAndCertificate> {
    const keys = await makeKeys();
    const certificate = await this.issue(keys.publicKey, options, [
      new ExtendedKeyUsageExtension([options.usage ?? SERVER_AUTH]),
      new SubjectAlternativeNameExtension([
        { type: 'dns', value: options.name ?? CONTROL_PLANE_NAME },
      ]),
    ]);
    const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
    const base64 = Buffer.from(pkcs8).toString('base64');
    return {
      certificatePem: certificate.toString('pem'),
      keyPem: `-----BEGIN PRIVATE KEY-----\n${base64}\n-----END PRIVATE KEY-----\n`,
    };
  }

  /** A certificate for an agent, from its request; DER. */
  async issueAgent(request: Uint8Array, validity: Validity = {}): Promise<Buffer> {
    const parsed = new Pkcs10CertificateRequest(Buffer.from(request));
    if (!(await parsed.verify())) throw new Error('the request is not signed by its key');
    const publicKey = await parsed.publicKey.export();
    const certificate = await this.issue(publicKey, validity, [
      new ExtendedKeyUsageExtension([CLIENT_AUTH]),
    ]);
    return Buffer.from(certificate.rawData);
  }

  private issue(
    publicKey: webcrypto.CryptoKey,
    validity: Validity,
    extensions: Extension[],
  ): Promise<X509Certificate> {
    return X509CertificateGenerator.create({
      subject: 'CN=test',
      issuer: this.certificate.subject,
      publicKey,
      signingKey: this.keys.privateKey,
      signingAlgorithm: ALGORITHM,
      ...dates(validity),
      extensions: [new BasicConstraintsExtension(false), ...extensions],
    });
  }
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, [
    'sign',
    'verify',
  ])) as webcrypto.CryptoKeyPair;
}

function dates({ fromSeconds = -60, untilSeconds = 3600 }: Validity) {
  return {
    notBefore: new Date(Date.now() + fromSeconds * 1000),
    notAfter: new Date(Date.now() + untilSeconds * 1000),
  };
}
