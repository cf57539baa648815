import { harmless } from '../../../proto/documents/harmless-text.ts';
import { applySgr, plainStyle, sgrOf } from './sgr-style.ts';
import type { SgrStyle } from './sgr-style.ts';

/** Anything unseen except line ends and tabs. */
const NEEDS_CARE = /[^\P{Cc}\n\t]|[\p{Cf}\p{Zl}\p{Zp}]/u;
const ONLY_ASCII = /^[\n\t -~]*$/;
/** A longer line is let go in pieces; nobody waits for its end. */
const LINE_MAX = 8192;
const SEQUENCE_MAX = 256;
/** What follows ESC in DCS, OSC, SOS, PM and APC, which run to a terminator. */
const STRING_STARTS = 'P]X^_';

type State = 'text' | 'escape' | 'control' | 'intermediate' | 'string' | 'stringEscape';

/**
 * Makes the output of a program on a server safe to print, whatever it holds. Colours and weights (SGR)
 * stay where `colors` says so; every other control sequence is taken out and counted; other unseen
 * characters are shown as ⟦U+XXXX⟧. Carriage returns and backspaces are carried out within their line, so
 * that a progress bar shows its last state. Text is given out line by line: an unfinished one is kept,
 * 8 KiB at most.
 */
export class LogTextFilter {
  /** Control sequences taken out so far. */
  hidden = 0;
  private readonly colors: boolean;
  private readonly decoder = new TextDecoder('utf-8', { ignoreBOM: true });
  private decoderHolds = false;
  /** The unfinished line, while no character of it needed care. */
  private plain = '';
  /** The unfinished line otherwise: characters and their styles, and where the next one goes. */
  private cells: { text: string; style: string }[] | null = null;
  private cursor = 0;
  private style: SgrStyle = plainStyle;
  private styleCode = '';
  private state: State = 'text';
  private parameters = '';

  constructor(options: { colors: boolean }) {
    this.colors = options.colors;
  }

  /** Takes bytes as they come, cut anywhere; returns what may be printed now. */
  push(bytes: Uint8Array): string {
    if (bytes.byteLength === 0) return '';
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (!this.decoderHolds) {
      const ascii = buffer.toString('latin1');
      if (ONLY_ASCII.test(ascii)) return this.isPlain ? this.takePlain(ascii) : this.take(ascii);
    }
    const text = this.decoder.decode(buffer, { stream: true });
    this.decoderHolds = (buffer.at(-1) ?? 0) >= 0x80;
    return this.take(text);
  }

  /** The unfinished line as it stands, without style. */
  get unfinishedLine(): string {
    return this.cells === null ? this.plain : this.cells.map((cell) => cell.text).join('');
  }

  /** Gives out the unfinished line; nothing comes after it. */
  end(): string {
    const last = this.take(this.decoder.decode());
    this.decoderHolds = false;
    if (this.state !== 'text') this.hide();
    return last + this.giveOutLine();
  }

  private take(text: string): string {
    if (this.isPlain && !NEEDS_CARE.test(text)) return this.takePlain(text);
    let output = '';
    for (const character of text) output += this.takeCharacter(character);
    return output;
  }

  private get isPlain(): boolean {
    return this.cells === null && this.state === 'text' && this.styleCode === '';
  }

  private takePlain(text: string): string {
    const end = text.lastIndexOf('\n') + 1;
    let output = '';
    if (end > 0) {
      output = this.plain + text.slice(0, end);
      this.plain = '';
    }
    this.plain += end > 0 ? text.slice(end) : text;
    if (this.plain.length > LINE_MAX) output += this.giveOutLine();
    return output;
  }

  private takeCharacter(character: string): string {
    switch (this.state) {
      case 'text':
        return this.takeText(character);
      case 'escape':
        return this.takeEscape(character);
      case 'control':
        return this.takeControl(character);
      case 'intermediate':
        if (character >= ' ' && character <= '/') return '';
        this.hide();
        return isWithin(character, '0', '~') ? '' : this.takeText(character);
      case 'string':
        return this.takeString(character);
      case 'stringEscape':
        this.hide();
        return character === '\\' ? '' : this.takeEscapeAgain(character);
    }
  }

  private takeText(character: string): string {
    switch (character) {
      case '\n':
        return `${this.giveOutLine()}\n`;
      case '\r':
        this.careful();
        this.cursor = 0;
        return '';
      case '\b':
        this.careful();
        this.cursor = Math.max(0, this.cursor - 1);
        return '';
      case '\u001b':
        this.state = 'escape';
        return '';
      default:
        return this.put(character === '\t' ? character : harmless(character));
    }
  }

  private takeEscape(character: string): string {
    if (character === '[') {
      this.state = 'control';
      this.parameters = '';
      return '';
    }
    if (STRING_STARTS.includes(character)) {
      this.state = 'string';
      return '';
    }
    if (isWithin(character, ' ', '/')) {
      this.state = 'intermediate';
      return '';
    }
    this.hide();
    return isWithin(character, '0', '~') ? '' : this.takeText(character);
  }

  private takeControl(character: string): string {
    if (isWithin(character, ' ', '?') && this.parameters.length < SEQUENCE_MAX) {
      this.parameters += character;
      return '';
    }
    this.state = 'text';
    if (!isWithin(character, '@', '~')) {
      this.hide();
      return this.takeText(character);
    }
    if (character === 'm') this.setStyle();
    else if (character === 'K' && this.eraseInLine()) return '';
    else this.hide();
    return '';
  }

  /** A string ends at BEL or ST. A line end ends it too, so that it never hides more than its line. */
  private takeString(character: string): string {
    if (character === '\u0007') this.hide();
    else if (character === '\u001b') this.state = 'stringEscape';
    else if (character === '\n') {
      this.hide();
      return this.takeText(character);
    }
    return '';
  }

  private takeEscapeAgain(character: string): string {
    this.state = 'escape';
    return this.takeEscape(character);
  }

  private setStyle(): void {
    const next = applySgr(this.style, this.parameters);
    if (next === null) {
      this.hide();
      return;
    }
    if (!this.colors) return;
    this.careful();
    this.style = next;
    this.styleCode = sgrOf(next);
  }

  /** A line erased whole begins anew: blanks up to where the cursor stood would cost a line for each time. */
  private eraseInLine(): boolean {
    if (this.parameters !== '' && this.parameters !== '0' && this.parameters !== '2') return false;
    const cells = this.careful();
    if (this.parameters === '2') this.cursor = 0;
    cells.length = Math.min(cells.length, this.cursor);
    return true;
  }

  private put(text: string): string {
    const cells = this.careful();
    cells[this.cursor++] = { text, style: this.styleCode };
    return cells.length > LINE_MAX ? this.giveOutLine() : '';
  }

  private careful(): { text: string; style: string }[] {
    if (this.cells === null) {
      this.cells = Array.from(this.plain, (text) => ({ text, style: '' }));
      this.plain = '';
      this.cursor = this.cells.length;
    }
    return this.cells;
  }

  private giveOutLine(): string {
    if (this.cells === null) {
      const line = this.plain;
      this.plain = '';
      return line;
    }
    let line = '';
    let current = '';
    for (const cell of this.cells) {
      if (cell.style !== current) {
        line += (current === '' ? '' : '\u001b[0m') + cell.style;
        current = cell.style;
      }
      line += cell.text;
    }
    this.cells = this.styleCode === '' ? null : [];
    this.cursor = 0;
    return current === '' ? line : `${line}\u001b[0m`;
  }

  private hide(): void {
    this.state = 'text';
    this.parameters = '';
    this.hidden++;
  }
}

function isWithin(character: string, first: string, last: string): boolean {
  return character.length === 1 && character >= first && character <= last;
}
