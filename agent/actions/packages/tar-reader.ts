const BLOCK = 512;
/** Longer than any path of Linux. */
const NAME_MAX_BYTES = 8192;

export interface TarFile {
  /** Absolute, however the archive writes it. */
  path: string;
  mode: number;
  bytes: Buffer;
}

/**
 * Takes plain files out of the tar of a package as it comes, without unpacking: what lies in it may unpack to anything.
 * Reads the forms that dpkg writes and unpacks (ustar, long names of GNU).
 */
export class TarReader {
  /** Why the rest cannot be read, once that is so. */
  fault: string | null = null;
  private readonly wants: (path: string, bytes: number) => boolean;
  private readonly onFile: (file: TarFile) => void;
  private pieces: Buffer[] = [];
  private missing = BLOCK;
  private isKept = true;
  private onWhole: (bytes: Buffer) => void = (block) => this.readHeader(block);
  private longName: string | null = null;

  /** @param wants says whether a file of this size is to be taken; others are read over */
  constructor(wants: (path: string, bytes: number) => boolean, onFile: (file: TarFile) => void) {
    this.wants = wants;
    this.onFile = onFile;
  }

  /** Keeps parts of `bytes`. */
  take(bytes: Buffer): void {
    let rest = bytes;
    while (rest.length > 0 && this.fault === null) {
      const piece = rest.subarray(0, this.missing);
      rest = rest.subarray(piece.length);
      this.missing -= piece.length;
      if (this.isKept) this.pieces.push(piece);
      if (this.missing > 0) return;
      const { onWhole, pieces } = this;
      this.expect(BLOCK, (block) => this.readHeader(block));
      onWhole(Buffer.concat(pieces));
    }
  }

  /** Calls `onWhole` with the next bytes, once all are there. */
  private expect(bytes: number, onWhole: (bytes: Buffer) => void, isKept = true): void {
    this.pieces = [];
    this.missing = bytes;
    this.isKept = isKept;
    this.onWhole = onWhole;
  }

  private readHeader(block: Buffer): void {
    if (block.every((byte) => byte === 0)) return;
    const bytes = octal(block, 124, 12);
    const mode = octal(block, 100, 8);
    if (bytes === null || mode === null || octal(block, 148, 8) !== sumOf(block)) {
      this.fault = 'a header in it is damaged';
      return;
    }
    const kind = String.fromCharCode(block[156]!);
    if (kind === 'L' || kind === 'K') {
      this.readLongName(kind, bytes);
      return;
    }
    const path = this.longName ?? nameOf(block);
    this.longName = null;
    const isFile = kind === '0' || kind === '\0';
    if (!isFile && (bytes > 0 || !/[1-6]/.test(kind))) {
      this.fault = 'it holds what dpkg does not unpack';
      return;
    }
    if (isFile) this.readFile({ path: path.replace(/^(?:\.?\/+)?/, '/'), mode, bytes });
  }

  private readFile({ path, mode, bytes }: { path: string; mode: number; bytes: number }): void {
    const isWanted = this.wants(path, bytes);
    const onWhole = (content: Buffer) => {
      if (isWanted) this.onFile({ path, mode, bytes: content.subarray(0, bytes) });
    };
    if (bytes === 0) onWhole(Buffer.alloc(0));
    else this.expect(padded(bytes), onWhole, isWanted);
  }

  private readLongName(kind: 'L' | 'K', bytes: number): void {
    if (bytes === 0 || bytes > NAME_MAX_BYTES) {
      this.fault = 'a name in it is longer than names are';
      return;
    }
    this.expect(padded(bytes), (content) => {
      if (kind === 'L') this.longName = textOf(content, 0, bytes);
    });
  }
}

function padded(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

function nameOf(block: Buffer): string {
  const isPosix = block.subarray(257, 263).equals(Buffer.from('ustar\0', 'latin1'));
  const prefix = isPosix ? textOf(block, 345, 155) : '';
  const name = textOf(block, 0, 100);
  return prefix === '' ? name : `${prefix}/${name}`;
}

function textOf(block: Buffer, at: number, length: number): string {
  const field = block.subarray(at, at + length);
  const end = field.indexOf(0);
  return field.toString('utf8', 0, end === -1 ? length : end);
}

function octal(block: Buffer, at: number, length: number): number | null {
  const text = textOf(block, at, length).trim();
  return /^[0-7]+$/.test(text) ? parseInt(text, 8) : null;
}

/** The field of the sum itself counts as blanks. */
function sumOf(block: Buffer): number {
  return block.reduce((sum, byte, at) => sum + (at >= 148 && at < 156 ? 0x20 : byte), 0);
}
