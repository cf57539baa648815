import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ActionContext } from '../../runner/action.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { wantedDropIn } from './configure-wishes.ts';
import { dropInFolders } from './same-name-drop-ins.ts';
import { parseShow } from './systemctl.ts';
import { unitOf } from './unit.ts';

const OWN = '/etc/systemd/system/shop-web@one.service.d/limits.conf';
const USER = '[Service]\nUser=nobody\n';
const LIMIT = '[Service]\nLimitNOFILE=1\n';
const unit = unitOf(
  parseShow('Id=shop-web@one.service\nNames=shop-web@one.service shop@one.service', 1)[0]!,
);
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivd-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function put(path: string, text: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
}
function link(path: string, target: string): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  symlinkSync(target, join(folder, path));
}

function want(action: string, wishes: { settings?: string[]; removeDropIn?: string }) {
  const name = wishes.settings === undefined ? {} : { dropIn: 'limits' };
  const context = { spec: { action } } as unknown as Pick<ActionContext, 'spec'>;
  return wantedDropIn(context, new TargetRoot(folder), unit, {
    unit: unit.id,
    ...name,
    ...wishes,
  });
}
const write = (action = 'service.configure') =>
  want(action, { settings: ['Service.LimitNOFILE=2'] });
const remove = (action = 'service.configure') => want(action, { removeDropIn: 'limits' });
const NEEDS = { reason: 'needs_override', message: expect.stringContaining('User') as string };

it('has a folder for the unit, its template, each dash in its name, and its type', () => {
  expect(dropInFolders('a-b-c@d-e.service')).toEqual([
    ...['a-b-c@d-e.service.d', 'a-b-c@.service.d', 'a-.service.d', 'a-b-.service.d', 'service.d'],
  ]);
  expect(dropInFolders('x.y.timer')).toEqual(['x.y.timer.d', 'timer.d']);
});

describe('a drop-in of a name that another drop-in has, too', () => {
  it.each([
    ...['/run/systemd/system/shop-web@one.service.d', '/usr/lib/systemd/system/service.d'],
    ...['/usr/local/lib/systemd/system/shop-web@.service.d', '/etc/systemd/system/service.d'],
    ...['/lib/systemd/system/shop-.service.d', '/etc/systemd/system/shop@one.service.d'],
    ...['/run/systemd/generator/shop@.service.d', '/usr/lib/systemd/system/shop-web@.service.d'],
  ])('is only by service.override written over, or removed from, that in %s', async (where) => {
    put(`${where}/limits.conf`, USER);
    await expect(write()).rejects.toMatchObject(NEEDS);
    await expect(write('service.override')).resolves.toMatchObject({ isNeeded: true });
    put(OWN, '');
    await expect(remove()).rejects.toMatchObject(NEEDS);
    await expect(remove('service.override')).resolves.toMatchObject({ isNeeded: true });
  });

  it('is written when the other one only bounds, or is of another name or unit', async () => {
    put('/usr/lib/systemd/system/service.d/limits.conf', LIMIT);
    put('/usr/lib/systemd/system/service.d/user.conf', USER);
    put('/usr/lib/systemd/system/shop.service.d/limits.conf', USER);
    await expect(write()).resolves.toMatchObject({ isNeeded: true });
  });

  it('is not written where the other one cannot be read, or is reached by a link', async () => {
    const other = '/usr/lib/systemd/system/service.d/limits.conf';
    mkdirSync(join(folder, other), { recursive: true });
    await expect(write()).rejects.toMatchObject({ reason: 'needs_override' });
    rmSync(join(folder, other), { recursive: true });
    put(other, `#${'x'.repeat(1024 * 1024)}\n`);
    await expect(write()).rejects.toMatchObject({ reason: 'needs_override' });
    rmSync(join(folder, other));
    put('/opt/user.conf', USER);
    link(other, '/opt/user.conf');
    await expect(write()).rejects.toMatchObject(NEEDS);
  });
});
