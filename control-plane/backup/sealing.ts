import { open } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { ReadableStream } from 'node:stream/web';
import { createZstdCompress, createZstdDecompress, constants } from 'node:zlib';
import { Decrypter, Encrypter } from 'age-encryption';
import { readFileOf } from './file-digest.ts';
import { BackupDamagedError, MAGIC } from './frames.ts';

/** To whom a backup is sealed; it holds the key that every agent trusts. */
export type Lock =
  | { kind: 'recipients'; recipients: readonly string[] }
  | { kind: 'passphrase'; passphrase: string }
  | { kind: 'none' };

export type Key =
  | { kind: 'identities'; identities: readonly string[] }
  | { kind: 'passphrase'; passphrase: string };

/** Thrown when a backup cannot be opened with what was given. */
export class BackupLockedError extends Error {
  override name = 'BackupLockedError';
}

/** Thrown for an unsealed backup where a sealed one was expected: anybody can have put it there. */
export class BackupNotSealedError extends Error {
  override name = 'BackupNotSealedError';
}

const AGE = 'age-encryption.org/';
const COMPRESSION = {
  params: { [constants.ZSTD_c_compressionLevel]: 3, [constants.ZSTD_c_checksumFlag]: 1 },
};

/** Compresses, and seals with age (age-encryption.org/v1). Throws for a recipient that is none. */
export async function seal(content: AsyncIterable<Buffer>, lock: Lock): Promise<Readable> {
  const compressor = createZstdCompress(COMPRESSION);
  const source = Readable.from(content, { objectMode: false });
  source.on('error', (error) => compressor.destroy(error));
  source.pipe(compressor);
  const plain = Readable.from(withMagic(compressor), { objectMode: false });
  if (lock.kind === 'none') return plain;
  const encrypter = new Encrypter();
  if (lock.kind === 'passphrase') encrypter.setPassphrase(lock.passphrase);
  else for (const recipient of lock.recipients) encrypter.addRecipient(recipient);
  const sealed = await encrypter.encrypt(Readable.toWeb(plain) as globalThis.ReadableStream);
  return Readable.fromWeb(sealed as unknown as ReadableStream);
}

async function* withMagic(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  yield Buffer.from(MAGIC);
  yield* content;
}

export async function isSealed(file: string): Promise<boolean> {
  return (await readStart(file, AGE.length)) === AGE;
}

export interface SealedFile {
  file: string;
  /** Null for a backup that was made without encryption; it must not be sealed then. */
  key: Key | null;
  /** Of the whole file; null when nobody knows it. */
  digest: string | null;
}

/**
 * The content of a backup, as `seal` was given it. Throws BackupLockedError, BackupNotSealedError,
 * BackupDamagedError; when the digest is another one, at the end.
 */
export async function* unseal({ file, key, digest }: SealedFile): AsyncGenerator<Buffer> {
  const isPlain = !(await isSealed(file));
  if (isPlain && key !== null) throw new BackupNotSealedError('it is not sealed');
  const bytes = Readable.from(readFileOf(digest, file), { objectMode: false });
  if (isPlain) {
    yield* decompress(bytes);
    return;
  }
  if (key === null) throw new BackupLockedError('it is sealed');
  const decrypter = new Decrypter();
  if (key.kind === 'passphrase') decrypter.addPassphrase(key.passphrase);
  else for (const identity of key.identities) decrypter.addIdentity(identity);
  let opened: globalThis.ReadableStream;
  try {
    opened = await decrypter.decrypt(Readable.toWeb(bytes) as globalThis.ReadableStream);
  } catch (cause) {
    bytes.destroy();
    throw new BackupLockedError('it was sealed to another key or passphrase', { cause });
  }
  yield* decompress(Readable.fromWeb(opened as unknown as ReadableStream));
}

async function* decompress(sealed: Readable): AsyncGenerator<Buffer> {
  const decompressor = createZstdDecompress();
  try {
    const content = Readable.from(withoutMagic(sealed), { objectMode: false });
    content.on('error', (error) => decompressor.destroy(error));
    content.pipe(decompressor);
    for await (const chunk of decompressor) yield chunk as Buffer;
  } catch (cause) {
    if (cause instanceof BackupDamagedError) throw cause;
    throw new BackupDamagedError(`it cannot be read whole: ${(cause as Error).message}`, { cause });
  } finally {
    sealed.destroy();
  }
}

async function* withoutMagic(content: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  let start: Buffer | null = Buffer.alloc(0);
  for await (const chunk of content) {
    const bytes = Buffer.from(chunk);
    if (start === null) {
      yield bytes;
      continue;
    }
    start = Buffer.concat([start, bytes]);
    if (start.length < MAGIC.length) continue;
    if (start.toString('latin1', 0, MAGIC.length) !== MAGIC) {
      throw new BackupDamagedError('it is no backup, or one of a newer program');
    }
    yield start.subarray(MAGIC.length);
    start = null;
  }
  if (start !== null) throw new BackupDamagedError('it ends too early');
}

async function readStart(file: string, length: number): Promise<string> {
  const handle = await open(file, 'r');
  try {
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
    return buffer.toString('latin1', 0, bytesRead);
  } finally {
    await handle.close();
  }
}
