import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { TargetFiles } from '../../target/target-files.ts';
import { inOwnNetwork, nftFileRepairs } from './nft-file.ts';
import { NftTextError, withIncludes } from './nft-text.ts';

const FILE = '/etc/nftables.conf';

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'ivw-'));
  mkdirSync(join(root, 'etc/nftables.d'), { recursive: true });
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const write = (path: string, text: string) => writeFileSync(join(root, path), text);
const expanded = (text: string) => withIncludes(new TargetFiles(root), FILE, text);

it('an include is read from the target, whatever stands beside it', async () => {
  write('etc/hostname', 'table ip own { }');
  const text = 'flush ruleset; include "/etc/hostname" # ours\ninclude "hostname";\nlist ruleset\n';
  const { text: whole, placeOf } = await expanded(text);
  expect(whole).toBe(
    'flush ruleset; table ip own { }\n # ours\ntable ip own { }\n;\nlist ruleset\n',
  );
  expect(placeOf(3)).toEqual({ path: '/etc/hostname', line: 1 });
  expect(placeOf(5)).toEqual({ path: FILE, line: 3 });
});

it('a pattern stands for the files that it fits, and for no folder', async () => {
  mkdirSync(join(root, 'etc/nftables.d/older'));
  write('etc/nftables.d/b', 'table ip b { }\n');
  write('etc/nftables.d/a', 'table ip a { }\n');
  write('etc/nftables.d/.c', 'table ip c { }\n');
  const { text } = await expanded('include "nftables.d/*"');
  expect(text).toBe('table ip a { }\ntable ip b { }\n');
});

it('comments and strings that speak of one stay as they are', async () => {
  const text = '# include "/etc/shadow"\ntable ip a { comment "include x"; }\nset included_nets\n';
  expect((await expanded(text)).text).toBe(text);
});

it.each([
  ['add include "/etc/hostname"\n', /conf:1: an include that is no statement/],
  ['include\\\n"/etc/hostname"\n', /an include that is no statement/],
  ['\ninclude "/etc/hostname" x\n', /conf:2: an include that is no statement/],
  ['"a\ninclude "/etc/hostname"\n', /no end on its line/],
  ['include "/etc/*/x"\n', /only one \*/],
  ['include "/etc/none"\n', /none cannot be read/],
  ['include "/etc/pipe"\n', /pipe cannot be read/],
])('a text such as %j is not handed to nft', async (text, why) => {
  write('etc/hostname', '');
  execFileSync('mkfifo', [join(root, 'etc/pipe')]);
  await expect(expanded(text)).rejects.toThrow(why);
});

it('files that include each other, or more than is looked at, end the look', async () => {
  write('etc/loop', 'include "/etc/loop"\n');
  await expect(expanded('include "/etc/loop"\n')).rejects.toThrow('include each other');
  const long = `# ${'x'.repeat(10_000)}\n`;
  for (let at = 0; at < 12; at++) write(`etc/nftables.d/${at}.nft`, long);
  const many = 'include "/etc/nftables.d/*.nft"\n';
  expect((await expanded(many)).text).toHaveLength(12 * long.length + 1);
  await expect(expanded(many.repeat(10))).rejects.toThrow('too long');
  await expect(expanded('include "/etc/nowhere/*"\n'.repeat(2000))).rejects.toThrow(NftTextError);
});

it('rules that cannot be read are told and left to people, and no program is run on them', async () => {
  mkdirSync(join(root, 'etc/systemd/system/sysinit.target.wants'), { recursive: true });
  write('etc/systemd/system/sysinit.target.wants/nftables.service', '');
  write(FILE, 'flush ruleset; include "/dev/watchdog"\n');
  const target = { files: new TargetFiles(root) } as Target;
  // No part of the context is there to be used.
  expect(await nftFileRepairs({ context: {} as ActionContext, target, packets: [] })).toEqual({
    steps: [],
    removals: [],
    findings: [
      `${FILE}:1: /dev/watchdog cannot be read as rules, or is not there. Look at it by hand.`,
    ],
  });
});

it('a program that looks at rules ends with the job, and in any case', async () => {
  const { signal } = new AbortController();
  const run = vi.fn<ActionContext['run']>();
  await inOwnNetwork({ run, signal } as Partial<ActionContext> as ActionContext, ['nft'], {
    input: 'x',
  });
  const limits = { timeoutMs: expect.any(Number), signal, input: 'x' };
  expect(run).toHaveBeenCalledWith(
    expect.arrayContaining(['nft']),
    expect.objectContaining(limits),
  );
});
