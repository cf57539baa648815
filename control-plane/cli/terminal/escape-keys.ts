export type EscapeCommand = 'leave' | 'help';

export interface Typed {
  /** What goes to the server. */
  bytes: Buffer;
  /** What the person asked of this program; it comes after `bytes`. */
  command: EscapeCommand | null;
}

const TILDE = 0x7e;
const CR = 0x0d;
const LF = 0x0a;

/**
 * Finds the sequences that mean this program and not the server, as ssh(1) has them: a tilde at the start
 * of a line and a key. `~.` leaves, `~?` helps, `~~` is a tilde; anything else is typed as it is.
 */
export class EscapeKeys {
  private isLineStart = true;
  private isPending = false;

  push(typed: Buffer): Typed {
    const bytes: number[] = [];
    for (const byte of typed) {
      if (this.isPending) {
        this.isPending = false;
        const command = byte === 0x2e ? 'leave' : byte === 0x3f ? 'help' : null;
        if (command !== null) {
          this.isLineStart = true;
          // What is left of a paste is not typed blindly after it.
          return { bytes: Buffer.from(bytes), command };
        }
        if (byte !== TILDE) bytes.push(TILDE);
      } else if (byte === TILDE && this.isLineStart) {
        this.isPending = true;
        continue;
      }
      bytes.push(byte);
      this.isLineStart = byte === CR || byte === LF;
    }
    return { bytes: Buffer.from(bytes), command: null };
  }
}
