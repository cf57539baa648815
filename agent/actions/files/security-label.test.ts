import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeEach, afterEach, describe, expect, it } from 'vitest';
import { must } from '../../../test/harness/process.ts';
import { TargetRoot } from '../../target/target-root.ts';
import { policyLabel } from './security-label.ts';
import { fileContext } from './testing/file-context.ts';

// Real matchpathcon and libselinux.

const label = (type: string) => `system_u:object_r:${type}:s0`;
const lines = (...all: [path: string, type: string][]) =>
  all.map(([path, type]) => `${path}\t${label(type)}\n`).join('');
const CONTEXTS = lines(
  ['/.*', 'default_t'],
  ['/etc(/.*)?', 'etc_t'],
  ['/usr/lib(/.*)?', 'lib_t'],
  ['/usr/lib/systemd/system(/.*)?', 'systemd_unit_file_t'],
);

let place: string;
let root: string;
let context: ReturnType<typeof fileContext>;
beforeEach(() => {
  place = mkdtempSync(join(tmpdir(), 'iv-labels-'));
  root = join(place, 'root');
  mkdirSync(join(place, 'job/scratch'), { recursive: true });
  context = fileContext(join(place, 'job'));
  mkdirSync(join(root, 'etc/selinux/targeted/contexts/files'), { recursive: true });
  writeFileSync(join(root, 'etc/selinux/config'), 'SELINUX=enforcing\nSELINUXTYPE=targeted\n');
  put('', CONTEXTS);
});
afterEach(() => rmSync(place, { recursive: true }));

const contexts = (suffix: string) =>
  join(root, `etc/selinux/targeted/contexts/files/file_contexts${suffix}`);
const put = (suffix: string, text: string) => writeFileSync(contexts(suffix), text);

async function typeOf(path: string): Promise<string | null> {
  const found = await policyLabel(context, new TargetRoot(root), path, 'file');
  expect(readdirSync(join(context.directory, 'scratch'))).toEqual([]);
  return found?.split(':')[2] ?? null;
}

describe('the label that a policy has for a path', () => {
  it.each([
    ['/etc/systemd/system/nginx.service.d/limits.conf', 'systemd_unit_file_t'],
    ['/etc/systemd/system.conf', 'etc_t'],
    ['/usr/lib64/libz.so', 'lib_t'],
    ['/opt/units/a.service', 'systemd_unit_file_t'],
    ['/etc/fstab', 'etc_t'],
  ])('is that of the path it counts as: %s', async (path, type) => {
    put('.subs_dist', '/etc/systemd/system /usr/lib/systemd/system\n/usr/lib64 /usr/lib\n');
    put('.subs', '# of the administrator\n  /opt/units\t/etc/systemd/system\n');
    expect(await typeOf(path)).toBe(type);
  });

  it("is the administrator's own, and that of homes", async () => {
    put('.local', lines(['/etc/site(/.*)?', 'httpd_sys_content_t']));
    put('.homedirs', lines(['/home/[^/]+/.+', 'user_home_t']));
    expect(await typeOf('/etc/site/a')).toBe('httpd_sys_content_t');
    expect(await typeOf('/home/ann/a')).toBe('user_home_t');
  });

  it('is unknown where the target has none, or too large ones', async () => {
    rmSync(contexts(''));
    expect(await typeOf('/etc/fstab')).toBeNull();
    put('', CONTEXTS);
    put('.subs', '#'.repeat(5 * 1024 * 1024));
    expect(await typeOf('/etc/fstab')).toBeNull();
  });

  it.each(['', '.local', '.homedirs', '.subs', '.subs_dist'])(
    'is unknown where file_contexts%s leads out of the target',
    async (suffix) => {
      const outside = join(place, 'outside');
      writeFileSync(outside, suffix.startsWith('.subs') ? '/etc /usr/lib\n' : CONTEXTS);
      rmSync(contexts(suffix), { force: true });
      symlinkSync(outside, contexts(suffix));
      expect(await typeOf('/etc/fstab')).toBeNull();
    },
  );

  it('is not taken from compiled expressions, under whatever name', async () => {
    const compiled = contexts('.bin');
    const text = contexts('.text');
    put('.text', lines(['/etc(/.*)?', 'evil_t']));
    await must(['sefcontext_compile', '-o', compiled, text]);
    expect(await typeOf('/etc/fstab')).toBe('etc_t');
    await must(['mv', compiled, contexts('')]);
    expect(await typeOf('/etc/fstab')).toBeNull();
  });
});
