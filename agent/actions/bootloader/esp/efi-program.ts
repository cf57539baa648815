/** Layout of a Portable Executable: Microsoft's PE format, sections "COFF File Header" and "Section Table". */
const PE_POINTER_AT = 0x3c;
const COFF_BYTES = 24;
const SECTION_BYTES = 40;
const SECTIONS_MAX = 96;
/** x86-64. */
export const MACHINE = 0x8664;

/** Whether these bytes are a program that firmware of x86-64 can start, and none of it is cut off. */
export function isEfiProgram(bytes: Buffer): boolean {
  if (bytes.length < PE_POINTER_AT + 4 || bytes.toString('latin1', 0, 2) !== 'MZ') return false;
  const header = bytes.readUInt32LE(PE_POINTER_AT);
  if (header + COFF_BYTES > bytes.length) return false;
  if (bytes.readUInt32LE(header) !== 0x4550 || bytes.readUInt16LE(header + 4) !== MACHINE) {
    return false;
  }
  const sections = bytes.readUInt16LE(header + 6);
  const table = header + COFF_BYTES + bytes.readUInt16LE(header + 20);
  if (sections === 0 || sections > SECTIONS_MAX) return false;
  if (table + sections * SECTION_BYTES > bytes.length) return false;
  for (let at = table; at < table + sections * SECTION_BYTES; at += SECTION_BYTES) {
    const end = bytes.readUInt32LE(at + 16) + bytes.readUInt32LE(at + 20);
    if (end > bytes.length) return false;
  }
  return true;
}
