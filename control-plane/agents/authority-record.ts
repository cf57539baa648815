import { X509Certificate } from 'node:crypto';
import type { Queries } from '../database/database.ts';
import type { CertificateAuthority } from './certificate-authority.ts';

/** Thrown at start: the agents in this database were enrolled under another authority and would all refuse this one. */
export class AuthorityMismatchError extends Error {
  override name = 'AuthorityMismatchError';
}

/** Notes the authority in the database at the first start, and checks that it is still the same one later. */
export async function requireSameAuthority(
  queries: Queries,
  authority: CertificateAuthority,
): Promise<void> {
  await queries.query(
    'insert into certificate_authority (id, certificate) values (1, $1) on conflict (id) do nothing',
    [authority.certificateDer],
  );
  const rows = await queries.query<{ certificate: Buffer }>(
    'select certificate from certificate_authority where id = 1',
  );
  const known = new X509Certificate(rows[0]!.certificate).publicKey;
  if (!known.equals(new X509Certificate(authority.certificateDer).publicKey)) {
    throw new AuthorityMismatchError(
      'the certificate authority in the data folder is not the one this database was used with; ' +
        'put back ca/ca.key and ca/ca.crt that belong to it',
    );
  }
}
