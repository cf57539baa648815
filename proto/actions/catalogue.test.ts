import { describe, expect, it } from 'vitest';
import { actionId, isClassWithin } from '../documents/fields.ts';
import { actions, findAction } from './catalogue.ts';
import { commandRunParameters } from './command.ts';
import { filesystemRepairParameters } from './filesystem.ts';

describe.each(actions.map((action) => [action.id, action] as const))('%s', (id, action) => {
  it('is found by a name that orders can carry', () => {
    expect(findAction(id)).toBe(action);
    expect(actionId.parse(id)).toBe(id);
    expect(actions.filter((other) => other.id === id)).toHaveLength(1);
  });

  it('says in plain words what it does', () => {
    expect(action.title).toMatch(/^[A-Z]/);
    expect(action.sentence).toMatch(/^[A-Z].*\.$/);
    expect(action.usualDuration).not.toBe('');
  });

  it('changes nothing exactly when it is class A, or decides about the change of another job', () => {
    const decides = action.capabilities.includes('guard');
    expect(action.changes).toBe(action.class !== 'A' && !decides);
    expect(isClassWithin(action.planClass, action.class)).toBe(true);
  });

  it('plans as class B at least where programs of the target run', () => {
    const all = [...action.capabilities, ...(action.offline?.capabilities ?? [])];
    const runsPrograms = action.plans && all.includes('runs-target-programs');
    expect(runsPrograms && action.planClass === 'A').toBe(false);
  });

  it('can be undone only when a plan says how', () => {
    expect(action.undo === 'none' || (action.plans && action.changes)).toBe(true);
  });

  it('takes no parameter it does not know', () => {
    const parsed = action.parameters.safeParse({ surprise: 1 });
    expect(JSON.stringify(parsed.error?.issues)).toContain('unrecognized_keys');
  });

  it('lets grants limit parameters that exist', () => {
    const names = Object.keys(action.parameters.shape);
    expect(names).toEqual(expect.arrayContaining([...action.bringsIn]));
    expect(!action.capabilities.includes('device') || names.includes('device')).toBe(true);
  });
});

describe('the catalogue', () => {
  it.each(['command', 'command.*', '*', 'constructor', '__proto__', 'command.run '])(
    'has no action %j',
    (id) => {
      expect(findAction(id)).toBeUndefined();
    },
  );
});

describe('parameters of command.run', () => {
  it('are words, which nothing reads as a shell would', () => {
    const argv = ['sh', '-c', '$(reboot); `id`', '--', '\n', ''];
    expect(commandRunParameters.parse({ argv })).toEqual({ argv });
  });

  it.each([
    ['no program', { argv: [] }],
    ['an empty program', { argv: ['', 'x'] }],
    ['a NUL', { argv: ['a\0b'] }],
    ['a shell string', { argv: 'ls -l' }],
    ['too many words', { argv: Array.from({ length: 257 }, () => 'a') }],
    ['a relative directory', { argv: ['ls'], directory: 'tmp' }],
    ['a NUL in the directory', { argv: ['ls'], directory: '/a\0b' }],
    ['an environment', { argv: ['ls'], env: {} }],
  ])('are refused with %s', (_what, parameters) => {
    expect(commandRunParameters.safeParse(parameters).success).toBe(false);
  });
});

describe('parameters of filesystem.repair', () => {
  it('are absolute paths', () => {
    const parameters = { device: '/dev/sda1', backupDirectory: '/var/backups' };
    expect(filesystemRepairParameters.parse(parameters)).toEqual(parameters);
  });

  it.each([
    ['an option', { device: '-y' }],
    ['a relative path', { device: 'dev/sda1' }],
    ['a NUL', { device: '/dev/sda1\0' }],
    ['a path over the limit', { device: `/${'a'.repeat(4096)}` }],
    ['a relative backup directory', { device: '/dev/sda1', backupDirectory: '..' }],
  ])('are refused with %s', (_what, parameters) => {
    expect(filesystemRepairParameters.safeParse(parameters).success).toBe(false);
  });
});
