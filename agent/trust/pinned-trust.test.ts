import { randomUUID } from 'node:crypto';
import { mkdtemp, readdir, readFile, rm, stat, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { signAccountKeys, signRoot } from '../../test/fixtures/chains.ts';
import { createWorldKey } from '../../test/fixtures/trust-world.ts';
import { digestOf, DocumentError } from '../../proto/documents/document.ts';
import type { Signer } from '../../proto/documents/keys.ts';
import { PinnedTrust, PinnedTrustError } from './pinned-trust.ts';
import type { Pins, TrustChains } from './pinned-trust.ts';

const account = randomUUID();
const [a, b, c, d] = Array.from({ length: 4 }, () => createWorldKey().signer) as [
  Signer,
  Signer,
  Signer,
  Signer,
];
const root1 = signRoot([a], [a], null);
const root2 = signRoot([b], [a, b], root1, { version: 2 });
const root3 = signRoot([c], [b, c], root2, { version: 3 });
const fork2 = signRoot([d], [a, d], root1, { version: 2 });
const fork3 = signRoot([a], [d, a], fork2, { version: 3 });
const keys1 = signAccountKeys(account, [a.key, b.key], [a], null);
const keys2 = signAccountKeys(account, [c.key, b.key], [a], keys1, { version: 2 });
const forkKeys2 = signAccountKeys(account, [d.key, b.key], [b], keys1, { version: 2 });

const pins: Pins = {
  caPin: `sha256:${'c'.repeat(64)}`,
  rootDigest: digestOf(root1),
  accountKeysDigest: digestOf(keys1),
};

let folder: string;
let directory: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'ivpt-'));
  directory = path.join(folder, 'trust');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const chains = (rootChain: Uint8Array[] = [], accountKeys: Uint8Array[] = []): TrustChains => ({
  rootChain,
  accountKeys,
});
const install = async (given = chains([root1], [keys1]), changes: Partial<Pins> = {}) =>
  PinnedTrust.install(directory, account, { ...pins, ...changes }, given);
const load = async () => PinnedTrust.load(directory, account);
const versions = (trust: PinnedTrust) => [
  trust.root.payload.version,
  trust.accountKeys?.payload.version,
];

describe('pinned trust', () => {
  it('is what was pinned, also after a restart', async () => {
    expect(versions(await install())).toEqual([1, 1]);
    const loaded = await load();
    expect(versions(loaded)).toEqual([1, 1]);
    expect(loaded.pins).toEqual(pins);
  });

  it('takes the documents over that already follow when it is pinned', async () => {
    expect(versions(await install(chains([root1, root2], [keys1, keys2])))).toEqual([2, 2]);
    expect(versions(await load())).toEqual([2, 2]);
  });

  it('may be pinned in the middle of a chain', async () => {
    const given = chains([root1, root2, root3], [keys1, keys2]);
    const changes = { rootDigest: digestOf(root2), accountKeysDigest: digestOf(keys2) };
    expect(versions(await install(given, changes))).toEqual([3, 2]);
    expect(await readdir(path.join(directory, 'root'))).toEqual(['0001.json', '0002.json']);
    expect(versions(await load())).toEqual([3, 2]);
  });

  it('takes long chains over in parts, also ones that end before what was pinned', async () => {
    const trust = await install();
    expect(await trust.accept(chains([root1], []))).toBe(false);
    expect(await trust.accept(chains([root2], []))).toBe(true);
    expect(await trust.accept(chains([root3], [keys2]))).toBe(true);
    expect(versions(await load())).toEqual([3, 2]);
    const late = await install(chains([root2], [keys2]), {
      rootDigest: digestOf(root2),
      accountKeysDigest: digestOf(keys2),
    });
    expect(await late.accept(chains([root1], [keys1]))).toBe(false);
    expect(await late.accept(chains([root3], []))).toBe(true);
    expect(versions(late)).toEqual([3, 2]);
  });

  it('refuses a part that leaves one out, or follows from another', async () => {
    const trust = await install();
    await expect(trust.accept(chains([root3], []))).rejects.toThrow(DocumentError);
    await trust.accept(chains([root2], []));
    await expect(trust.accept(chains([fork3], []))).rejects.toThrow(DocumentError);
    await expect(trust.accept(chains([fork2], []))).rejects.toThrow(DocumentError);
    expect(versions(await load())).toEqual([2, 1]);
  });

  it('keeps envelopes as they came, readable by their owner alone', async () => {
    await install();
    const file = path.join(directory, 'root', '0001.json');
    expect((await readFile(file)).equals(root1)).toBe(true);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
    expect((await stat(path.join(directory, 'root'))).mode & 0o777).toBe(0o700);
  });

  it('may know of no account keys', async () => {
    const trust = await install(chains([root1]), { accountKeysDigest: null });
    expect(trust.accountKeys).toBeNull();
    expect(trust.list().accountKeys).toBeNull();
    expect(await trust.accept(chains([], [keys1]))).toBe(false);
    expect((await load()).accountKeys).toBeNull();
  });

  it('is replaced whole by local root', async () => {
    await install(chains([root1, root2], [keys1, keys2]));
    const other = signRoot([d], [d], null);
    await install(chains([other], [keys1]), { rootDigest: digestOf(other) });
    expect((await load()).root.digest).toBe(digestOf(other));
  });

  it.each<[string, TrustChains, Partial<Pins>, string]>([
    ['the root is another', chains([fork2], [keys1]), {}, 'signer_unknown'],
    ['there is no root', chains([], [keys1]), {}, 'signer_unknown'],
    ['the account keys are others', chains([root1], [forkKeys2]), {}, 'signer_unknown'],
    ['there are no account keys', chains([root1], []), {}, 'signer_unknown'],
    ['a root does not follow', chains([root1, root3], [keys1]), {}, 'signature_invalid'],
    ['the chain is junk', chains([Buffer.from('x')], [keys1]), {}, 'envelope_malformed'],
    [
      'the account keys are of another account',
      chains([root1], [signAccountKeys(randomUUID(), [a.key, b.key], [a], null)]),
      {},
      'signer_unknown',
    ],
  ])('is not made when %s', async (_what, given, changes, reason) => {
    await install();
    await expect(install(given, changes)).rejects.toMatchObject({ reason });
    expect(versions(await load())).toEqual([1, 1]);
  });

  it('of another account is not made even with its own pin', async () => {
    const foreign = signAccountKeys(randomUUID(), [a.key, b.key], [a], null);
    const given = install(chains([root1], [foreign]), { accountKeysDigest: digestOf(foreign) });
    await expect(given).rejects.toThrow('of another account');
  });

  it.each<[string, () => Promise<unknown>]>([
    ['its pins are gone', async () => unlink(path.join(directory, 'pins.json'))],
    ['its pins are damaged', async () => writeFile(path.join(directory, 'pins.json'), '{}')],
    ['its roots are gone', async () => rm(path.join(directory, 'root'), { recursive: true })],
    ['the pinned root is gone', async () => unlink(path.join(directory, 'root', '0001.json'))],
    ['a root in the middle is gone', async () => unlink(path.join(directory, 'root', '0002.json'))],
    ['a root is damaged', async () => writeFile(path.join(directory, 'root', '0002.json'), 'junk')],
    [
      'the account keys are gone',
      async () => rm(path.join(directory, 'account-keys'), { recursive: true }),
    ],
    [
      'the folder of the roots is a file',
      async () => {
        await rm(path.join(directory, 'root'), { recursive: true });
        await writeFile(path.join(directory, 'root'), '');
      },
    ],
  ])('is not loaded when %s', async (_what, damage) => {
    await install(chains([root1, root2, root3], [keys1]));
    await damage();
    await expect(load()).rejects.toThrow(PinnedTrustError);
  });

  it('is loaded in the order of its documents, however many there are', async () => {
    const chain = [root1];
    for (let version = 2; version <= 12; version++) {
      chain.push(signRoot([a], [a], chain.at(-1)!, { version }));
    }
    const trust = await install();
    for (const root of chain.slice(1)) await trust.accept(chains([root]));
    expect(await readdir(path.join(directory, 'root'))).toHaveLength(12);
    expect(versions(await load())).toEqual([12, 1]);
  });

  it('is loaded beside what a crash left', async () => {
    await install(chains([root1, root2], [keys1]));
    await writeFile(path.join(directory, 'root', '0003.json.99.new'), 'half of');
    expect(versions(await load())).toEqual([2, 1]);
  });
});

describe('newer documents', () => {
  it.each<[string, TrustChains]>([
    ['as whole chains', chains([root1, root2, root3], [keys1, keys2])],
    ['as what follows', chains([root2, root3], [keys2])],
  ])('are taken over %s, for good', async (_what, update) => {
    const trust = await install();
    expect(await trust.accept(update)).toBe(true);
    expect(versions(trust)).toEqual([3, 2]);
    expect(versions(await load())).toEqual([3, 2]);
    expect(await trust.accept(update)).toBe(false);
  });

  it('are taken over one after the other', async () => {
    const trust = await install();
    const updates = [chains([root2]), chains([root2, root3]), chains([], [keys2])];
    const taken = await Promise.all(updates.map(async (update) => trust.accept(update)));
    expect(taken).toEqual([true, true, true]);
    expect(versions(await load())).toEqual([3, 2]);
  });

  it.each<[string, TrustChains]>([
    ['an older chain', chains([root1], [keys1])],
    ['nothing', chains()],
  ])('are not there in %s', async (_what, update) => {
    const trust = await install(chains([root1, root2], [keys1]));
    expect(await trust.accept(update)).toBe(false);
    expect(versions(trust)).toEqual([2, 1]);
  });

  it.each<[string, TrustChains]>([
    ['a fork, though it is longer', chains([root1, fork2, fork3])],
    ['a fork of what follows', chains([fork2, fork3])],
    ['a fork of the account keys', chains([], [keys1, forkKeys2])],
    ['a chain with a gap', chains([signRoot([d], [c, d], root3, { version: 4 })])],
    ['junk', chains([Buffer.from('junk')])],
    ['good roots with bad account keys', chains([root3], [forkKeys2])],
    ['account keys among the roots', chains([keys2])],
  ])('are refused, all of them, in %s', async (_what, update) => {
    const trust = await install(chains([root1, root2], [keys1, keys2]));
    await expect(trust.accept(update)).rejects.toThrow(DocumentError);
    expect(versions(trust)).toEqual([2, 2]);
    expect(versions(await load())).toEqual([2, 2]);
    expect(await trust.accept(chains([root3]))).toBe(true);
  });
});

describe('the listing of what is trusted', () => {
  it('names every key by its fingerprint', async () => {
    const trust = await install(chains([root1, root2], [keys1]));
    const fingerprint = expect.stringMatching(/^SHA256:/) as string;
    expect(trust.list()).toEqual({
      pins,
      root: {
        version: 2,
        digest: digestOf(root2),
        threshold: 1,
        keys: [{ name: 'root 0', fingerprint, use: 'lead, engineer, revoke' }],
      },
      accountKeys: {
        version: 1,
        digest: digestOf(keys1),
        keys: [
          { name: 'key 0', fingerprint, use: 'signing' },
          { name: 'key 1', fingerprint, use: 'recovery' },
        ],
      },
    });
  });
});
