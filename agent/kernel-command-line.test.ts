import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { BootParametersError, parseKernelCommandLine } from './kernel-command-line.ts';

const ca = `sha256:${'a'.repeat(64)}`;
const voucher = `sha256:${'b'.repeat(64)}`;
const token = 'T'.repeat(43);
const line = `BOOT_IMAGE=/vmlinuz root=/dev/ram0 intervene.server=192.0.2.10:7401 quiet intervene.ca=${ca} intervene.token=${token}`;

describe('parseKernelCommandLine', () => {
  it('finds its own words among others', () => {
    expect(parseKernelCommandLine(`${line} intervene.voucher=${voucher} -- init\n`)).toEqual({
      addresses: ['192.0.2.10:7401'],
      authority: ca,
      token,
      voucher,
    });
  });

  it('takes several addresses, quoted or not, and does without a voucher', () => {
    const several = line.replace('192.0.2.10:7401', '"a.example:1,b.example:2"');
    expect(parseKernelCommandLine(several)).toMatchObject({
      addresses: ['a.example:1', 'b.example:2'],
      voucher: null,
    });
    const quotedWhole = line.replace(`intervene.ca=${ca}`, `"intervene.ca=${ca}"`);
    expect(parseKernelCommandLine(quotedWhole)?.authority).toBe(ca);
  });

  it('is null where none of its words stand', () => {
    expect(parseKernelCommandLine('root=/dev/sda1 quiet interveneXserver=1')).toBeNull();
    expect(parseKernelCommandLine('')).toBeNull();
    expect(parseKernelCommandLine(`quiet -- intervene.token=${token}`)).toBeNull();
  });

  it.each([
    ['without a server', line.replace(/intervene\.server=\S+/, '')],
    ['without a token', line.replace(/intervene\.token=\S+/, '')],
    ['with a short digest', line.replace(ca, 'sha256:aa')],
    ['with a bad address', line.replace('192.0.2.10:7401', '192.0.2.10')],
    ['with a bad token', line.replace(token, 'short')],
    ['with an unknown word', `${line} intervene.tokn=x`],
    ['with a bad voucher', `${line} intervene.voucher=1`],
    ['with a word given twice', `${line} intervene.ca=${voucher}`],
    ['with __proto__', `${line} intervene.__proto__=1`],
  ])('refuses a line %s', (_name, text) => {
    expect(() => parseKernelCommandLine(text)).toThrow(BootParametersError);
  });

  it('never fails in another way, and never invents a parameter', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (noise) => {
        const wordsOnly = noise.replaceAll('intervene.', '');
        expect(parseKernelCommandLine(wordsOnly)).toBeNull();
      }),
    );
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (noise) => {
        let result: unknown;
        try {
          result = parseKernelCommandLine(`intervene.${noise}`);
        } catch (error) {
          result = error instanceof BootParametersError ? null : error;
        }
        expect(result).toBeNull();
      }),
    );
  });
});
