/** Hands a program's output on in lines, however it is cut into pieces; of a longer line its last 8 KiB. */
export class LineReader {
  private rest = '';
  private readonly onLine: (line: string) => void;

  constructor(onLine: (line: string) => void) {
    this.onLine = onLine;
  }

  take(bytes: Buffer): void {
    const lines = (this.rest + bytes.toString('utf8')).split('\n');
    this.rest = lines.pop()!.slice(-8192);
    lines.forEach((line) => this.onLine(line));
  }
}
