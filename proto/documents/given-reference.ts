const REFERENCE = /^given:(sha256:[0-9a-f]{64})$/;

/** How an order names a secret that the client gave, by the digest of its credential, in `sealedInputs`. */
export function givenReference(digest: string): string {
  return `given:${digest}`;
}

/** The digest; null for an input that is sealed in the order itself. */
export function readGivenReference(input: string): string | null {
  return REFERENCE.exec(input)?.[1] ?? null;
}
