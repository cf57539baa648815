import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetFiles } from '../target/target-files.ts';
import { TargetRoot } from '../target/target-root.ts';
import { distributionMethod } from './access/password-hash.ts';
import { parseLine } from './access/ssh/config-draft.ts';
import { menuEntries } from './bootloader/boot-choice.ts';
import { GRUB_CFG, menuFaults } from './bootloader/boot-menu.ts';
import { settingsForAnyMachine } from './bootloader/initramfs-settings.ts';
import { readFaillock } from './diagnostics/accounts/faillock.ts';
import { socketPorts } from './diagnostics/ssh/ssh-socket.ts';
import { usesLabels } from './files/security-label.ts';
import { isManagedByNetworkManager } from './network/managers.ts';
import { valuesOf } from './network/ini-text.ts';
import { nameServerRepairs } from './network/name-servers.ts';
import { withoutSecrets } from './network/without-secrets.ts';
import { rpmManagerOf } from './packages/package-system.ts';

const MOST_MS = 1000;
const LINES = '\n'.repeat(64 * 1024);
const BLANKS = ' '.repeat(64 * 1024);
/** Where the time would grow with a higher power. */
const FEW_BLANKS = ' '.repeat(200);

let folder: string;
let files: TargetFiles;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'ivh-'));
  files = new TargetFiles(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const reads: [string, string, string, () => unknown][] = [
  [
    'whether labels are used',
    '/etc/selinux/config',
    LINES,
    () => usesLabels(new TargetRoot(folder)),
  ],
  ['the menu of GRUB', GRUB_CFG, `${LINES}x`, () => menuFaults(files, [], null as never)],
  [
    'what initramfs-tools are set to',
    '/etc/initramfs-tools/initramfs.conf',
    LINES,
    () => settingsForAnyMachine({ directory: folder }, { files }),
  ],
  ['how passwords are kept', '/etc/login.defs', LINES, () => distributionMethod(files)],
  ['when accounts are locked', '/etc/security/faillock.conf', LINES, () => readFaillock(files)],
  ['the distribution', '/etc/os-release', `ID=a${BLANKS}"x`, () => rpmManagerOf(files)],
  [
    'the port of a socket',
    '/etc/systemd/system/ssh.socket',
    `ListenStream=${'1'.repeat(64 * 1024)}x`,
    () => socketPorts(files, 'ssh.socket'),
  ],
  [
    'name servers',
    '/etc/resolv.conf',
    LINES,
    () => nameServerRepairs({ files, kind: 'offline', facts: {} } as never),
  ],
];

it.each(reads)('reading %s takes no time that a disk chooses', async (_, path, text, read) => {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), text);
  expect(await timeOf(read)).toBeLessThan(MOST_MS);
});

it.each<[string, () => unknown]>([
  ['a line of sshd', () => parseLine(`Port${FEW_BLANKS}x${FEW_BLANKS}\n0`)],
  ['a setting', () => valuesOf(`a=x${BLANKS}y`, 'a', 'b')],
  ['a renderer', () => isManagedByNetworkManager(LINES)],
  ['a menu entry', () => menuEntries(`menuentry '${"' $menuentry_id_option 'a".repeat(20_000)}`)],
  ['a secret', () => withoutSecrets(`key${BLANKS}x`)],
  ['many words', () => withoutSecrets(`a: ${'b '.repeat(64 * 1024)}`)],
  ['a name', () => withoutSecrets(`${'1'.repeat(64 * 1024)}a: b`)],
])('reading %s takes no time that a disk chooses', async (_, read) => {
  expect(await timeOf(read)).toBeLessThan(MOST_MS);
});

async function timeOf(read: () => unknown): Promise<number> {
  const begun = performance.now();
  await read();
  return performance.now() - begun;
}
