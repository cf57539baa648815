import { createHash } from 'node:crypto';
import type { Hash } from 'node:crypto';
import { z } from 'zod';
import { isDataFile } from './data-files.ts';

/**
 * The content of a backup: a sequence of frames, each a byte for its kind, four for its length, and that many.
 * What is described comes first, then its data; the last frame has the digest of everything before it.
 */

/** Before everything that is compressed: whoever reads an older or newer format can say so. */
export const MAGIC = 'intervene-backup 1\n';
const DESCRIPTION = 1;
const DATA = 2;
const HEADER_BYTES = 5;
const DESCRIPTION_MAX_BYTES = 1024 * 1024;
export const DATA_MAX_BYTES = 256 * 1024;

const descriptionSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('backup'),
    id: z.uuid(),
    /** Of the program that made it. */
    version: z.string(),
    /** Number of the last migration. */
    schema: z.int().positive(),
    takenAt: z.iso.datetime(),
  }),
  /** A file of the data folder, one of those it is known to have. `mode` is what it was; a restore sets its own. */
  z.strictObject({
    kind: z.literal('file'),
    path: z.string().regex(/^(?!.*(?:^|\/)\.\.?(?:\/|$))[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/),
    mode: z.int().min(0).max(0o777),
  }),
  /** Rows as `copy … (format binary)` gives them. */
  z.strictObject({
    kind: z.literal('table'),
    name: z.string().regex(/^[a-z_][a-z0-9_]*$/),
    columns: z.array(z.string().regex(/^[a-z_][a-z0-9_]*$/)).min(1),
  }),
  /** Where the numbers that people say go on. */
  z.strictObject({
    kind: z.literal('sequences'),
    values: z.array(z.strictObject({ table: z.string(), column: z.string(), last: z.int() })),
  }),
  z.strictObject({ kind: z.literal('end'), frames: z.int(), digest: z.string() }),
]);
export type Description = z.output<typeof descriptionSchema>;
export type Frame =
  | { type: 'description'; description: Description }
  | { type: 'data'; bytes: Buffer };

/** Thrown for what is not a whole backup of this format, with what is wrong with it. */
export class BackupDamagedError extends Error {
  override name = 'BackupDamagedError';
}

/** Encodes frames, and knows the digest of all it has encoded. */
export class FrameWriter {
  private readonly hash: Hash = createHash('sha256');
  private frames = 0;

  describe(description: Description): Buffer {
    return this.frame(DESCRIPTION, Buffer.from(JSON.stringify(description)));
  }

  data(bytes: Buffer): Buffer {
    return this.frame(DATA, bytes);
  }

  end(): Buffer {
    const digest = this.hash.copy().digest('hex');
    return this.describe({ kind: 'end', frames: this.frames, digest });
  }

  private frame(kind: number, content: Buffer): Buffer {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt8(kind, 0);
    header.writeUInt32BE(content.length, 1);
    const bytes = Buffer.concat([header, content]);
    this.hash.update(bytes);
    this.frames++;
    return bytes;
  }
}

/**
 * The frames of a backup, in order, the last one left out: it is compared with what was read. Throws
 * BackupDamagedError as soon as something is wrong; so nothing may be kept of it before the end was reached.
 */
export async function* readFrames(source: AsyncIterable<Buffer>): AsyncGenerator<Frame> {
  const hash = createHash('sha256');
  let frames = 0;
  let isOver = false;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of source) {
    if (isOver) throw new BackupDamagedError('something follows its end');
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let frame = take(rest); frame !== null; frame = take(rest)) {
      rest = rest.subarray(frame.bytes.length);
      const content = frame.bytes.subarray(HEADER_BYTES);
      if (frame.kind === DATA) yield { type: 'data', bytes: content };
      else {
        const description = parseDescription(content);
        if (description.kind === 'end') {
          const isSame = description.digest === hash.digest('hex') && description.frames === frames;
          if (!isSame) throw new BackupDamagedError('its digest is not that of its content');
          isOver = true;
          break;
        }
        yield { type: 'description', description };
      }
      hash.update(frame.bytes);
      frames++;
    }
    if (isOver && rest.length > 0) throw new BackupDamagedError('something follows its end');
  }
  if (!isOver) throw new BackupDamagedError('it ends too early');
}

/** The first frame of `bytes`, with its header; null when it is not all there yet. */
function take(bytes: Buffer): { kind: number; bytes: Buffer } | null {
  if (bytes.length < HEADER_BYTES) return null;
  const kind = bytes.readUInt8(0);
  const length = bytes.readUInt32BE(1);
  const most = kind === DATA ? DATA_MAX_BYTES : DESCRIPTION_MAX_BYTES;
  if ((kind !== DATA && kind !== DESCRIPTION) || length > most) {
    throw new BackupDamagedError('a part of it is no part of a backup');
  }
  const end = HEADER_BYTES + length;
  return bytes.length < end ? null : { kind, bytes: bytes.subarray(0, end) };
}

function parseDescription(content: Buffer): Description {
  let description: Description;
  try {
    description = descriptionSchema.parse(JSON.parse(content.toString('utf8')));
  } catch (cause) {
    throw new BackupDamagedError('it describes something that this program does not know', {
      cause,
    });
  }
  if (description.kind === 'file' && !isDataFile(description.path)) {
    throw new BackupDamagedError(`${description.path} in it is no file of a control plane`);
  }
  return description;
}
