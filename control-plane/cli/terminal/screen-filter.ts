const ESC = 0x1b;
const BEL = 0x07;
const CAN = 0x18;
const SUB = 0x1a;
const DEL = 0x7f;
/** What follows ESC in DCS, SOS, OSC, PM and APC: strings that run to a terminator. */
const STRING_STARTS = new Set(Buffer.from('PX]^_'));
/** The same as C1 controls, second byte in UTF-8 after 0xc2. */
const C1_STRING_STARTS = new Set([0x90, 0x98, 0x9d, 0x9e, 0x9f]);
const C1_TERMINATOR = 0x9c;
const CSI_MAX = 64;

type State = 'text' | 'escape' | 'encoding' | 'c1' | 'csi' | 'string' | 'stringEscape' | 'stringC1';

/**
 * What a server may do to the engineer's own terminal. A terminal is raw by nature: colours, cursor and
 * screens pass. Taken out is what reaches beyond the screen: strings of every kind (OSC sets the title,
 * fills the clipboard with OSC 52, opens links; DCS and APC carry programs' own protocols) and requests to
 * the window (CSI … t, which also has titles typed back as if the person had typed them), and leaving UTF-8
 * (ESC %), after which single bytes would be C1 controls. Works byte by byte on whatever pieces arrive;
 * bytes that are no control pass unchanged. What a terminal would not end a sequence at does not end it here:
 * C0 controls within one are carried out (DEC STD 070, 3.5.4). A byte that begins something passes with the
 * rest of it or not at all, so that nothing taken out joins what stood around it.
 */
export class ScreenFilter {
  private state: State = 'text';
  private held: number[] = [];

  push(bytes: Uint8Array): Buffer {
    const passed = Buffer.alloc(bytes.byteLength + this.held.length + 1);
    let length = 0;
    const pass = (...these: readonly number[]) => {
      for (const byte of these) passed[length++] = byte;
    };
    for (const byte of bytes) this.take(byte, pass);
    return passed.subarray(0, length);
  }

  private take(byte: number, pass: (...bytes: readonly number[]) => void): void {
    switch (this.state) {
      case 'text':
        if (byte === ESC) this.state = 'escape';
        else if (byte === 0xc2) this.state = 'c1';
        else pass(byte);
        return;
      case 'escape':
        this.takeEscape(byte, pass);
        return;
      case 'c1':
        this.state = 'text';
        if (C1_STRING_STARTS.has(byte)) this.state = 'string';
        else if (byte === 0x9b) this.beginCsi([0xc2, 0x9b]);
        else if (byte >= 0x80 && byte <= 0xbf) pass(0xc2, byte);
        else this.take(byte, pass);
        return;
      case 'encoding':
        if (isExecuted(byte)) pass(byte);
        else if (byte < 0x20 || byte > 0x7e) this.restart(byte, pass);
        else if (byte >= 0x30) this.state = 'text';
        return;
      case 'csi':
        this.takeCsi(byte, pass);
        return;
      case 'string':
        if (byte === BEL || byte === CAN || byte === SUB) this.state = 'text';
        else if (byte === ESC) this.state = 'stringEscape';
        else if (byte === 0xc2) this.state = 'stringC1';
        return;
      case 'stringEscape':
        this.state = 'text';
        // Anything but a terminator begins another sequence.
        if (byte !== 0x5c) this.takeEscape(byte, pass);
        return;
      case 'stringC1':
        this.state = 'string';
        if (byte === C1_TERMINATOR) this.state = 'text';
        else this.take(byte, pass);
    }
  }

  private takeEscape(byte: number, pass: (...bytes: readonly number[]) => void): void {
    this.state = 'escape';
    if (isExecuted(byte)) pass(byte);
    else if (STRING_STARTS.has(byte)) this.state = 'string';
    else if (byte === 0x5b) this.beginCsi([ESC, byte]);
    else if (byte === 0x25) this.state = 'encoding';
    else if (byte < 0x20 || byte > 0x7e) this.restart(byte, pass);
    else {
      this.state = 'text';
      pass(ESC, byte);
    }
  }

  /** Gives up what was begun; the byte that ended it may begin something else. */
  private restart(byte: number, pass: (...bytes: readonly number[]) => void): void {
    this.state = 'text';
    this.held = [];
    if (byte !== CAN && byte !== SUB && byte !== DEL) this.take(byte, pass);
  }

  private beginCsi(start: number[]): void {
    this.state = 'csi';
    this.held = start;
  }

  private takeCsi(byte: number, pass: (...bytes: readonly number[]) => void): void {
    if (isExecuted(byte)) {
      pass(byte);
      return;
    }
    if (byte < 0x20 || byte > 0x7e) {
      this.restart(byte, pass);
      return;
    }
    this.held.push(byte);
    const isInside = byte >= 0x20 && byte <= 0x3f;
    if (isInside && this.held.length < CSI_MAX) return;
    this.state = 'text';
    // `t` without a space before it: the window's own requests (XTWINOPS).
    if (!(byte === 0x74 && this.held.at(-2) !== 0x20) && this.held.length < CSI_MAX) {
      pass(...this.held);
    }
    this.held = [];
  }
}

/** Whether a terminal carries it out at once, wherever in a sequence it stands. */
function isExecuted(byte: number): boolean {
  return byte < 0x20 && byte !== ESC && byte !== CAN && byte !== SUB;
}
