/** Committed bytes kept behind the newest ones, for followers that are a little late. */
const KEPT_BYTES = 256 * 1024;

/**
 * The newest bytes of one job's log, also those that are not committed yet. Bounded by its writer's queue and
 * `KEPT_BYTES`; whoever is further behind reads the database.
 */
export class LiveTail {
  private pieces: { offset: number; bytes: Buffer }[] = [];
  private endOffset: number;
  private committedOffset: number;

  constructor(offset: number) {
    this.endOffset = offset;
    this.committedOffset = offset;
  }

  get end(): number {
    return this.endOffset;
  }

  get start(): number {
    return this.pieces[0]?.offset ?? this.endOffset;
  }

  append(bytes: Buffer): void {
    this.pieces.push({ offset: this.endOffset, bytes });
    this.endOffset += bytes.length;
  }

  /** Everything before `offset` is committed and may be let go. */
  commit(offset: number): void {
    this.committedOffset = offset;
    const keepFrom = Math.min(offset, this.endOffset - KEPT_BYTES);
    let drop = 0;
    while (drop < this.pieces.length && this.endOf(drop) <= keepFrom) drop++;
    if (drop > 0) this.pieces.splice(0, drop);
  }

  /** What was not committed will come again, perhaps cut differently. */
  forgetUncommitted(): void {
    this.pieces = [];
    this.endOffset = this.committedOffset;
  }

  /** Bytes from `offset` on, as they lie; empty when `offset` is not within the tail. */
  read(offset: number): Buffer[] {
    if (offset < this.start || offset >= this.endOffset) return [];
    let first = this.pieces.length - 1;
    while (this.pieces[first]!.offset > offset) first--;
    const bytes = this.pieces.slice(first).map((piece) => piece.bytes);
    bytes[0] = bytes[0]!.subarray(offset - this.pieces[first]!.offset);
    return bytes;
  }

  private endOf(index: number): number {
    const piece = this.pieces[index]!;
    return piece.offset + piece.bytes.length;
  }
}
