const CAPTURE_MAX_BYTES = 1024 * 1024;

/** The beginning of what a program printed, for the action to read. */
export class CapturedOutput {
  private readonly pieces: Buffer[] = [];
  private bytes = 0;
  private isCut = false;

  /** Copies what it keeps. */
  take(piece: Buffer): void {
    const room = CAPTURE_MAX_BYTES - this.bytes;
    if (piece.length > room) this.isCut = true;
    if (room <= 0) return;
    this.pieces.push(Buffer.from(piece.subarray(0, room)));
    this.bytes += Math.min(piece.length, room);
  }

  get isTruncated(): boolean {
    return this.isCut;
  }

  text(): string {
    return Buffer.concat(this.pieces).toString('utf8');
  }
}
