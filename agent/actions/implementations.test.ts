import { expect, test } from 'vitest';
import { actions } from '../../proto/actions/catalogue.ts';
import { implementedActions, loadImplementation } from './implementations.ts';

test('every declared action is implemented, and nothing else is', () => {
  expect(new Set(implementedActions)).toEqual(new Set(actions.map((action) => action.id)));
});

test.each(actions)('$id can do what it declares', async (declaration) => {
  const implementation = await loadImplementation(declaration.id);
  expect(typeof implementation?.apply).toBe('function');
  expect(implementation?.plan !== undefined).toBe(declaration.plans);
  const undoes = [declaration.undo, declaration.offline?.undo];
  expect(implementation?.undo !== undefined).toBe(undoes.includes('yes'));
});

test.each(['no.such', 'toString', '__proto__'])('%s is no action', async (id) => {
  expect(await loadImplementation(id)).toBeUndefined();
});
