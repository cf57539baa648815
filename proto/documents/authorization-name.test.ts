import { expect, it } from 'vitest';
import { authorizationName } from './authorization-name.ts';

const grant = {
  id: '01940a3e-7c2b-4d1f-9a58-2f6b1c0d4e77',
  ticket: 'T-4711',
  actions: [{ pattern: 'filesystem.*' }, { pattern: 'command.run' }],
  servers: [{ id: '05e00000-0000-4000-8000-000000000001', name: 'web-04' }],
  expiresAt: Date.UTC(2026, 0, 2, 3, 4, 5) / 1000,
};

it('is known by its ticket, what it allows, where and until when, and its id', () => {
  expect(authorizationName(grant)).toBe(
    `the permission for T-4711 (filesystem.*, command.run on web-04, until 2026-01-02T03:04:05Z; ${grant.id})`,
  );
});

it('has room in a refusal, and is no order to a terminal, whatever was signed', () => {
  const servers = Array.from({ length: 64 }, () => ({ id: grant.id, name: 'x'.repeat(255) }));
  const actions = Array.from({ length: 32 }, () => ({ pattern: `a.${'b'.repeat(500)}` }));
  const name = authorizationName({
    ...grant,
    ticket: `T\u001b${'y'.repeat(98)}`,
    servers,
    actions,
  });
  expect(name.length).toBeLessThan(700);
  expect(name).toContain('and 61 more');
  expect(name).toContain('T⟦U+001B⟧y');
});
