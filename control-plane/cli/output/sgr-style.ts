/** Weight and colour of text, as SGR (ECMA-48 8.3.117) sets them; colours are those of the 16-colour palette. */
export interface SgrStyle {
  readonly bold: boolean;
  readonly dim: boolean;
  readonly italic: boolean;
  readonly underline: boolean;
  readonly inverse: boolean;
  /** 30–37, 90–97, or null for the default. */
  readonly foreground: number | null;
  /** 40–47, 100–107, or null for the default. */
  readonly background: number | null;
}

export const plainStyle: SgrStyle = {
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  inverse: false,
  foreground: null,
  background: null,
};

const switches = new Map<number, Partial<SgrStyle>>([
  [0, plainStyle],
  [1, { bold: true }],
  [2, { dim: true }],
  [3, { italic: true }],
  [4, { underline: true }],
  [7, { inverse: true }],
  [22, { bold: false, dim: false }],
  [23, { italic: false }],
  [24, { underline: false }],
  [27, { inverse: false }],
  [39, { foreground: null }],
  [49, { background: null }],
]);

/**
 * The style after an SGR sequence. Null when nothing in it is allowed: what conceals or blinks is left
 * out, 256 and RGB colours become the nearest of the 16.
 */
export function applySgr(style: SgrStyle, parameters: string): SgrStyle | null {
  if (!/^[\d;]*$/.test(parameters)) return null;
  const codes = parameters.split(';').map(Number);
  let next = style;
  let allowed = false;
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at] ?? 0;
    if (code === 38 || code === 48) {
      const [color, used] = extendedColor(codes, at + 1);
      at += used;
      if (color === null) continue;
      next = code === 38 ? { ...next, foreground: color } : { ...next, background: color + 10 };
      allowed = true;
      continue;
    }
    const change = switches.get(code) ?? paletteChange(code);
    if (change === null) continue;
    next = { ...next, ...change };
    allowed = true;
  }
  return allowed ? next : null;
}

/** The sequence that sets exactly this style on plain text; empty for plain. */
export function sgrOf(style: SgrStyle): string {
  const codes = [
    ...(style.bold ? [1] : []),
    ...(style.dim ? [2] : []),
    ...(style.italic ? [3] : []),
    ...(style.underline ? [4] : []),
    ...(style.inverse ? [7] : []),
    ...(style.foreground === null ? [] : [style.foreground]),
    ...(style.background === null ? [] : [style.background]),
  ];
  return codes.length === 0 ? '' : `\u001b[${codes.join(';')}m`;
}

function paletteChange(code: number): Partial<SgrStyle> | null {
  if ((code >= 30 && code <= 37) || (code >= 90 && code <= 97)) return { foreground: code };
  if ((code >= 40 && code <= 47) || (code >= 100 && code <= 107)) return { background: code };
  return null;
}

/** Reads `5;n` or `2;r;g;b`; returns a foreground code and how many parameters it took. */
function extendedColor(codes: readonly number[], at: number): [number | null, number] {
  if (codes[at] === 5) return [indexedColor(codes[at + 1] ?? -1), 2];
  if (codes[at] === 2) {
    const [red = -1, green = -1, blue = -1] = codes.slice(at + 1, at + 4);
    const known = [red, green, blue].every((value) => value >= 0 && value <= 255);
    return [known ? nearestColor(red, green, blue) : null, 4];
  }
  return [null, 1];
}

function indexedColor(index: number): number | null {
  if (!Number.isInteger(index) || index < 0 || index > 255) return null;
  if (index < 8) return 30 + index;
  if (index < 16) return 90 + index - 8;
  if (index >= 232) return nearestColor(...gray(8 + (index - 232) * 10));
  const cube = index - 16;
  const level = (value: number) => (value === 0 ? 0 : 55 + value * 40);
  return nearestColor(
    level(Math.floor(cube / 36)),
    level(Math.floor(cube / 6) % 6),
    level(cube % 6),
  );
}

function gray(value: number): [number, number, number] {
  return [value, value, value];
}

function nearestColor(red: number, green: number, blue: number): number {
  const brightest = Math.max(red, green, blue);
  if (brightest < 64) return 30;
  const half = brightest / 2;
  const bits = (red > half ? 1 : 0) + (green > half ? 2 : 0) + (blue > half ? 4 : 0);
  if (bits === 7 && brightest < 128) return 90;
  return (brightest > 191 ? 90 : 30) + bits;
}
