import { beforeEach, afterEach, describe, expect, it } from 'vitest';
import { Installation } from './testing/installation.ts';

let place: Installation;
beforeEach(async () => {
  place = await Installation.create();
});
afterEach(() => place.close());

describe('install.sh', () => {
  const digest = `sha256:${'a'.repeat(64)}`;
  it.each<[string, string | null]>([
    ['--control-plane', 'cp.example.net'],
    ['--control-plane', 'cp.example.net:0'],
    ['--control-plane', 'cp.example.net:70000'],
    ['--control-plane', 'a b:1'],
    ['--control-plane', '$(id):1'],
    ['--control-plane', '"]\nx = "1:1'],
    ['--control-plane', '-x:1'],
    ['--control-plane', null],
    ['--url', 'ftp://x'],
    ['--url', 'http://x/;id'],
    ['--url', 'http://x/$(id)'],
    ['--url', null],
    ['--ca', 'sha256:xyz'],
    ['--ca', digest.toUpperCase()],
    ['--ca', `${digest}0`],
    ['--ca', `${digest}\n`],
    ['--ca', null],
    ['--root', 'abc'],
    ['--root', null],
    ['--account-keys', `md5:${'a'.repeat(64)}`],
    ['--account-keys', null],
    ['--token', 'short'],
    ['--token', `${'t'.repeat(20)};id`],
    ['--token', null],
    ['--mode', 'other'],
    ['--highest-class', 'D'],
    ['--allow', '"]\nallow = ["*'],
    ['--allow', 'filesystem'],
    ['--allow', 'file*.check'],
    ['--allow', '*.check'],
    ['--bundle-digest', '1'],
    ['--prefix', 'relative'],
    ['--prefix', '/tmp/a b'],
    ['--nonsense', 'x'],
  ])('refuses %s %j before it does anything', async (name, value) => {
    const { status, said } = await place.install({ [name]: value });
    expect(said).toContain('✗');
    expect(status).toBe(2);
    expect(place.installed()).toEqual([]);
    expect(place.tokens).toEqual([]);
  });
});
