import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TargetRoot } from '../../target/target-root.ts';
import {
  linksOf,
  presumedAfter,
  readLinks,
  requireLinksUnchanged,
  restoreLinks,
} from './unit-links.ts';

const SYSTEM = '/etc/systemd/system';
const WANTS = `${SYSTEM}/multi-user.target.wants`;
let folder: string;
let root: TargetRoot;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivl-'));
  root = new TargetRoot(folder);
  mkdirSync(at(WANTS), { recursive: true });
  mkdirSync(at('/etc/rc2.d'));
  link(`${WANTS}/nginx.service`, '/lib/systemd/system/nginx.service');
  link('/etc/rc2.d/S01nginx', '../init.d/nginx');
  link(`${SYSTEM}/sshd.service`, '/lib/systemd/system/ssh.service');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const at = (path: string) => join(folder, path);
const link = (path: string, target: string) => symlinkSync(target, at(path));
const look = () =>
  execFileSync('find', [folder, '-printf', String.raw`%p %l %m\n`], { encoding: 'utf8' })
    .split('\n')
    .toSorted();

describe('the links that say when units start', () => {
  it('are all of them, and those of a unit by its names', async () => {
    const found = await readLinks(root);
    expect(Object.keys(found.links)).toHaveLength(3);
    expect(linksOf(found, ['nginx.service'])).toEqual([
      '/etc/rc2.d/S01nginx -> ../init.d/nginx',
      `${WANTS}/nginx.service -> /lib/systemd/system/nginx.service`,
    ]);
    expect(linksOf(found, ['ssh.service', 'sshd.service'])).toHaveLength(1);
  });

  it('are put back as they were: removed, changed, added, with the folders of that', async () => {
    const look1 = look();
    const before = await readLinks(root);
    rmSync(at(WANTS), { recursive: true });
    rmSync(at('/etc/rc2.d/S01nginx'));
    link('/etc/rc2.d/K01nginx', '../init.d/nginx');
    mkdirSync(at(`${SYSTEM}/new.target.wants`));
    link(`${SYSTEM}/new.target.wants/nginx.service`, '/lib/systemd/system/nginx.service');
    rmSync(at(`${SYSTEM}/sshd.service`));
    link(`${SYSTEM}/sshd.service`, '/dev/null');
    const after = await readLinks(root);
    requireLinksUnchanged(before, after, await readLinks(root));
    await restoreLinks(root, before, after);
    expect(look()).toEqual(look1);
    await restoreLinks(root, before, after);
    expect(look()).toEqual(look1);
  });

  it('that somebody else made meanwhile stay', async () => {
    const before = await readLinks(root);
    link(`${WANTS}/a.service`, '/lib/systemd/system/a.service');
    const after = await readLinks(root);
    link(`${WANTS}/theirs.service`, '/lib/systemd/system/theirs.service');
    await restoreLinks(root, before, after);
    expect(existsSync(at(`${WANTS}/a.service`))).toBe(false);
    expect(Object.keys((await readLinks(root)).links)).toContain(`${WANTS}/theirs.service`);
  });

  it('of one unit alone are put back when nobody wrote down what a job left', async () => {
    const before = await readLinks(root);
    rmSync(at(`${WANTS}/nginx.service`));
    rmSync(at('/etc/rc2.d/S01nginx'));
    link('/etc/rc2.d/K01nginx', '../init.d/nginx');
    link(`${SYSTEM}/theirs.service`, '/dev/null');
    const after = presumedAfter(before, await readLinks(root), ['nginx.service']);
    await restoreLinks(root, before, after);
    const now = await readLinks(root);
    expect(now.links).toEqual({ ...before.links, [`${SYSTEM}/theirs.service`]: '/dev/null' });
  });

  it('are not put over a file that somebody wrote in the place of one', async () => {
    link(`${SYSTEM}/masked.service`, '/dev/null');
    const before = await readLinks(root);
    rmSync(at(`${SYSTEM}/masked.service`));
    rmSync(at(`${WANTS}/nginx.service`));
    const after = await readLinks(root);
    writeFileSync(at(`${SYSTEM}/masked.service`), '[Service]\n');
    requireLinksUnchanged(before, after, await readLinks(root));
    const now = look();
    const restored = restoreLinks(root, before, after);
    await expect(restored).rejects.toMatchObject({ reason: 'changed_since' });
    expect(look()).toEqual(now);
  });

  it('are not put over what somebody has changed since', async () => {
    const before = await readLinks(root);
    link(`${SYSTEM}/nginx.service`, '/dev/null');
    const after = await readLinks(root);
    rmSync(at(`${SYSTEM}/nginx.service`));
    link(`${SYSTEM}/nginx.service`, '/opt/nginx.service');
    const now = await readLinks(root);
    expect(() => requireLinksUnchanged(before, after, now)).toThrow(/changed after the job/);
  });

  it('are looked for in no folder that a symlink leads out to', async () => {
    const outside = mkdtempSync(join(tmpdir(), 'ivo-'));
    writeFileSync(join(outside, 'x'), '');
    symlinkSync('/secret', join(outside, 'secret'));
    symlinkSync(outside, at('/etc/rc3.d'));
    const { links } = await readLinks(root);
    rmSync(outside, { recursive: true });
    expect(Object.keys(links).filter((path) => path.includes('rc3'))).toEqual([]);
  });
});
