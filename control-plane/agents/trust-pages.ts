/** A part of what an agent is told of the operator's root and its account's keys, oldest first. */
export interface TrustPage {
  rootChain: Buffer[];
  accountKeys: Buffer[];
}

/**
 * The two chains as messages of at most `bytes`, to be taken in this order: chains grow for as long as there
 * are clients, and messages have a limit. There is always one page.
 */
export function trustPages(
  rootChain: readonly Buffer[],
  accountKeys: readonly Buffer[],
  bytes: number,
): TrustPage[] {
  const pages: TrustPage[] = [{ rootChain: [], accountKeys: [] }];
  let left = bytes;
  const add = (chain: keyof TrustPage, envelope: Buffer) => {
    // What frames a field.
    const size = envelope.length + 8;
    if (size > left && left < bytes) {
      pages.push({ rootChain: [], accountKeys: [] });
      left = bytes;
    }
    left -= size;
    pages.at(-1)![chain].push(envelope);
  };
  for (const envelope of rootChain) add('rootChain', envelope);
  for (const envelope of accountKeys) add('accountKeys', envelope);
  return pages;
}
