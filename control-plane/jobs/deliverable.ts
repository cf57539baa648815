import { DocumentError } from '../../proto/documents/document.ts';

/** Documents of a delivery must fit into one message with room for what frames them. */
const DELIVERY_MAX_BYTES = 240 * 1024;

/** Throws `document_too_large` for what could never be sent to an agent. */
export function requireDeliverable(
  parts: readonly (Uint8Array | null | undefined)[],
  credentials: readonly { bytes: number }[] = [],
): void {
  const documents = parts.reduce((sum, part) => sum + (part?.byteLength ?? 0), 0);
  const bytes = credentials.reduce((sum, credential) => sum + credential.bytes, documents);
  if (bytes <= DELIVERY_MAX_BYTES) return;
  throw new DocumentError(
    'document_too_large',
    `order, authorization, plan and secrets are ${bytes} bytes together`,
  );
}
