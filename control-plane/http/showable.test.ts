import { expect, it } from 'vitest';
import { createTrustWorld } from '../../test/fixtures/trust-world.ts';
import { findUnshowable, findUnshowableInDocument } from './showable.ts';

it.each([
  [{ ticket: 'T-1\u001b[31m' }, 'ticket', 'U+001B'],
  [{ ticket: 'T-1\nT-2' }, 'ticket', 'U+000A'],
  [{ addresses: ['192.0.2.1', 'a\u202eb'] }, 'addresses.1', 'U+202E'],
  [{ description: 'one\rtwo' }, 'description', 'U+000D'],
  [{ secrets: { 'a\u0007': 'x' } }, 'secrets', 'U+0007'],
])('%j is told by its place and its character', (body, path, code) => {
  const found = findUnshowable(body);
  expect([found?.path.join('.'), found?.why]).toEqual([path, expect.stringContaining(code)]);
});

it.each([
  { ticket: 'T-1 Søren', description: 'one\n\ttwo\r\nthree', limit: 3, more: null },
  { parameters: { argv: ['printf', '\u001b[0m'] } },
  { envelope: Buffer.from('\u001b') },
])('%j can be shown', (body) => {
  expect(findUnshowable(body)).toBeNull();
});

it('of a document the payload is looked at, and what is none is left to its reader', async () => {
  const world = await createTrustWorld();
  expect(findUnshowableInDocument(world.signGrant().envelope)).toBeNull();
  const { envelope } = world.signGrant({ ticket: 'T-1\u001b' });
  expect(findUnshowableInDocument(envelope)?.path).toEqual(['ticket']);
  expect(findUnshowableInDocument(Buffer.from('{'))).toBeNull();
});
