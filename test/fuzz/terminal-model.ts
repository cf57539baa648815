/** What a terminal was told to do beyond showing text. */
export interface TerminalCommand {
  /** `string`: OSC, DCS, SOS, PM and APC, told when they begin. */
  kind: 'escape' | 'csi' | 'string';
  /** Parameters and intermediates, and the final character. */
  text: string;
}

const STRINGS = 'P]X^_';

/**
 * Reads output as a terminal in UTF-8 does (the parser for DEC's terminals of vt100.net, with C1 controls as
 * code points): C0 controls inside a sequence are carried out, DEL is passed over, CAN and SUB break it off.
 */
export function commandsIn(output: Uint8Array): TerminalCommand[] {
  const commands: TerminalCommand[] = [];
  let state = 'ground' as 'ground' | 'escape' | 'csi' | 'string';
  let collected = '';
  const begin = (character: string) => {
    collected = '';
    if (character === '[') state = 'csi';
    else if (STRINGS.includes(character)) {
      state = 'string';
      commands.push({ kind: 'string', text: character });
    } else return false;
    return true;
  };
  for (const character of new TextDecoder().decode(output)) {
    const code = character.codePointAt(0)!;
    if (code === 0x1b) {
      state = 'escape';
      collected = '';
    } else if (code === 0x18 || code === 0x1a) state = 'ground';
    else if (code >= 0x80 && code <= 0x9f) {
      state = 'ground';
      begin(String.fromCodePoint(code - 0x40));
    } else if (state === 'string') {
      if (code === 0x07) state = 'ground';
    } else if (code < 0x20 || code === 0x7f || state === 'ground') continue;
    else if (state === 'escape' && collected === '' && begin(character)) continue;
    else if (code <= 0x2f || (state === 'csi' && code <= 0x3f)) collected += character;
    else if (code > 0x7f) continue;
    else {
      commands.push({ kind: state, text: collected + character });
      state = 'ground';
    }
  }
  return commands;
}
