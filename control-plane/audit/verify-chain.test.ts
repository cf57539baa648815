import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { useTestDatabase } from '../../test/fixtures/database.ts';
import { appendAudit, auditHead, CHAIN_START } from './audit.ts';
import { readChain } from './audit-store.ts';
import { verifyChain } from './verify-chain.ts';
import type { ChainEntry } from './verify-chain.ts';

const test = useTestDatabase();

async function write(chain: string, count: number): Promise<ChainEntry[]> {
  for (let number = 1; number <= count; number++) {
    await test.database.transaction((queries) =>
      appendAudit(queries, {
        chain,
        actor: 'system',
        kind: 'test.noted',
        accountId: null,
        content: { number },
      }),
    );
  }
  return readChain(test.database, chain);
}

/** Written once with the real function; property tests need no database. */
const sample = { entries: [] as ChainEntry[] };
beforeAll(async () => {
  sample.entries = await write('account:sample', 4);
});

describe('an audit chain', () => {
  it('as it was written is intact, and its head is the newest hash', async () => {
    const entries = await write('operator', 5);
    const head = await auditHead(test.database, 'operator');
    expect(verifyChain(entries, { chain: 'operator' })).toEqual({ intact: true, entries: 5, head });
    expect(verifyChain([])).toEqual({ intact: true, entries: 0, head: CHAIN_START });
  });

  it('written by many at once still has no gap and no fork', async () => {
    const chain = 'account:many';
    await Promise.all(Array.from({ length: 8 }, () => write(chain, 3)));
    expect(verifyChain(await readChain(test.database, chain), { chain })).toMatchObject({
      intact: true,
      entries: 24,
    });
  });

  it('an edit in the database is found and named by its sequence, whatever was edited', async () => {
    const edits: Record<string, string> = {
      entry: `replace(entry, 'test.noted', 'test.other')`,
      hash: `repeat('a', 64)`,
      previous: `repeat('b', 64)`,
    };
    for (const [column, value] of Object.entries(edits)) {
      const chain = `account:${column}`;
      await write(chain, 4);
      await test.database.query(
        `update audit_entries set ${column} = ${value} where chain = $1 and sequence = 3`,
        [chain],
      );
      const found = verifyChain(await readChain(test.database, chain));
      expect(found).toMatchObject({ intact: false, sequence: 3 });
    }
  });

  it('an entry that was edited with its hash made to fit is found at the next one', async () => {
    const entries = await write('account:refit', 4);
    const forged = structuredClone(entries);
    forged[1] = { ...entries[0]!, sequence: 2 };
    expect(verifyChain(forged)).toMatchObject({ intact: false, sequence: 2 });
  });

  it('an entry left out, two swapped, one doubled: named by the sequence where it shows', () => {
    const { entries } = sample;
    expect(verifyChain(entries.filter((entry) => entry.sequence !== 2))).toMatchObject({
      intact: false,
      sequence: 2,
    });
    const swapped = [entries[0]!, entries[2]!, entries[1]!, entries[3]!];
    expect(verifyChain(swapped)).toMatchObject({ intact: false, sequence: 2 });
    const doubled = [...entries.slice(0, 2), entries[1]!, ...entries.slice(2)];
    expect(verifyChain(doubled)).toMatchObject({ intact: false, sequence: 3 });
  });

  it('cut off at the end is found by the head that an agent has seen', () => {
    const { entries } = sample;
    const seenHeads = [CHAIN_START, entries.at(-1)!.hash];
    expect(verifyChain(entries, { seenHeads })).toMatchObject({ intact: true });
    const cut = verifyChain(entries.slice(0, -1), { seenHeads });
    expect(cut).toMatchObject({ intact: false, sequence: entries.length });
  });

  it('of another intervention does not pass for this one', async () => {
    const entries = await write('intervention:other', 2);
    expect(verifyChain(entries, { chain: 'intervention:this' })).toMatchObject({
      intact: false,
      sequence: 1,
    });
  });

  it('no change of one character of any entry goes unnoticed', () => {
    const { entries } = sample;
    fc.assert(
      fc.property(
        fc.nat(entries.length - 1),
        fc.constantFrom('entry', 'previous', 'hash'),
        fc.nat(),
        fc.string({ minLength: 1, maxLength: 1 }),
        (index, field, at, character) => {
          const forged = structuredClone(entries) as ChainEntry[];
          const text = forged[index]![field as 'entry'];
          const position = at % text.length;
          fc.pre(text[position] !== character);
          forged[index]![field as 'entry'] =
            text.slice(0, position) + character + text.slice(position + 1);
          const verdict = verifyChain(forged);
          expect(verdict).toMatchObject({ intact: false });
          // A changed hash of the last entry shows there; any other at the entry itself.
          expect((verdict as { sequence: number }).sequence).toBe(index + 1);
        },
      ),
    );
  });
});
