import { describe, expect, it } from 'vitest';
import fc from 'fast-check';
import { RecordedScreen } from './recorded-screen.ts';

const recording = [
  '{"version":2,"width":80,"height":24,"timestamp":1,"env":{}}',
  '[0.1,"o","$ "]',
  '[0.2,"i","secret"]',
  '[0.3,"r","100x30"]',
  '[0.4,"o","ls\\r\\nünïcode 😀\\r\\n"]',
  '',
].join('\n');

function show(text: string, size: number): string {
  const screen = new RecordedScreen();
  const bytes = Buffer.from(text);
  let shown = '';
  for (let at = 0; at < bytes.length; at += size)
    shown += screen.push(bytes.subarray(at, at + size));
  return shown + screen.end();
}

describe('a recording', () => {
  it('shows what was on the screen, and nothing else, whatever pieces it arrives in', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), (size) => {
        expect(show(recording, size)).toBe('$ ls\r\nünïcode 😀\r\n');
      }),
    );
  });

  it.each([
    ['no JSON', 'half an event"]', 'half an event"]\n'],
    ['other JSON', '{"a":1}', '{"a":1}\n'],
    ['an event without text', '[1,"o",2]', ''],
    ['nothing', '', ''],
  ])('with %s hides nothing of it', (_what, line, shown) => {
    expect(show(line, 1000)).toBe(shown);
  });

  it('does not keep a line that never ends', () => {
    const screen = new RecordedScreen();
    const shown = screen.push(Buffer.alloc(2_000_000, 0x61));
    expect(shown.length).toBeGreaterThan(1_999_999);
  });
});
