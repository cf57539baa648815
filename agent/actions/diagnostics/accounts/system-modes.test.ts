import { chmod } from 'node:fs/promises';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { names, ProbeFixture, recorded } from '../testing/probe-fixture.ts';
import { systemModes } from './system-modes.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
  await system.write('home/.keep', '');
  await system.write('tmp/.keep', '');
  await chmod(system.root, 0o755);
});
afterEach(() => system.close());

/** `stat --format '%f %u %n'` of a running system. */
const seen = (...lines: string[]) => ({ folders: recorded(`${lines.join('\n')}\n`) });

it('folders of a running system are judged as the agent saw them, not as its runner sees its own', async () => {
  await chmod(system.path('home'), 0o1777);
  const sound = seen('41ed 0 /home', '43ff 0 /tmp');
  expect(await system.look(systemModes, sound)).toEqual([]);
  await chmod(system.path('tmp'), 0o1777);
  const broken = seen('41c0 0 /home', '41ed 1000 /tmp');
  expect(names(await system.look(systemModes, broken))).toEqual([
    'sys.modes /home',
    'sys.modes /tmp',
  ]);
  expect(await system.look(systemModes, seen('a1ff 0 /home', '43ff 0 /tmp'))).toEqual([]);
});

it('folders of a system on disks are judged as they are there', async () => {
  const none = { ...recorded(''), problem: 'not_applicable' as const };
  await chmod(system.path('tmp'), 0o1777);
  expect(await system.look(systemModes, { folders: none })).toEqual([]);
  await chmod(system.path('home'), 0o700);
  expect(names(await system.look(systemModes, { folders: none }))).toEqual(['sys.modes /home']);
});
