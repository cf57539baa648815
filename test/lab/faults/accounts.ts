import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import type { FaultDisk } from '../fault-disk.ts';
import type { Fault, RepairedFault } from './fault.ts';

/** Of a password that nobody knows. */
const STRANGERS_HASH = `$6$stranger$${'x'.repeat(86)}`;

/** An account whose state is wrong. */
function account(
  fault: Pick<RepairedFault, 'id' | 'title' | 'finding' | 'inject' | 'check'> &
    Partial<RepairedFault>,
): RepairedFault {
  return {
    proof: 'repair',
    disk: 'bios-gpt',
    action: 'access.repair-accounts',
    undo: 'files',
    ...fault,
  };
}

/** Runs a command of the disk's own system, as people type it. */
const type = (command: string) => (disk: FaultDisk) =>
  disk.inside(async (system) => void (await system.ok(command.split(' '))));

async function requirePassword(disk: FaultDisk, user: string, password: string): Promise<void> {
  await disk.look(async (system) => {
    const hash = hashOf(system.read('etc/shadow'), user);
    // crypt(3) of the system itself, with the salt of the stored hash.
    const script = 'chomp($p = <STDIN>); chomp($h = <STDIN>); exit(crypt($p, $h) eq $h ? 0 : 1)';
    const done = await system.inside(['perl', '-e', script], `${password}\n${hash}\n`);
    assert.equal(done.status, 0, `the password of ${user} is another one`);
  });
}

function hashOf(shadow: string, user: string): string {
  const line = shadow.split('\n').find((entry) => entry.startsWith(`${user}:`));
  assert.ok(line, `${user} has no line in shadow`);
  return line.split(':')[1]!;
}

async function requireAccountFiles(disk: FaultDisk): Promise<void> {
  await disk.look(async (system) => {
    const { stdout, stderr } = await system.inside(['pwck', '--read-only']);
    // Homes of system accounts that do not exist are no fault.
    assert.doesNotMatch(stdout + stderr, /invalid|no matching|shadow|add user|delete line/);
    assert.match(await system.ok(['stat', '-c', '%a %U:%G', '/etc/shadow']), /^640 root:shadow\n$/);
  });
}

const requireSudoers = (disk: FaultDisk) =>
  disk.look(async (system) => void (await system.ok(['visudo', '--check', '--strict'])));

export const accountFaults: readonly Fault[] = [
  account({
    id: 'P01',
    title: 'the password of root is not known',
    action: 'access.reset-password',
    makesNew: true,
    finding: null,
    parameters: { user: 'root' },
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['chpasswd', '--encrypted'], `root:${STRANGERS_HASH}\n`);
      }),
    check: (disk, { password }) => requirePassword(disk, 'root', password),
  }),
  account({
    id: 'P02',
    title: 'everybody who may become root is locked',
    action: 'access.reset-password',
    makesNew: true,
    finding: 'auth.locked',
    inject: (disk) =>
      disk.inside(async (system) => {
        for (const user of ['root', 'carol']) await system.ok(['passwd', '--lock', user]);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        assert.match(await system.ok(['passwd', '--status', 'root']), /^root P /);
      }),
  }),
  account({
    id: 'P03',
    title: 'the account has expired',
    finding: 'auth.expired',
    inject: type('chage --expiredate 0 root'),
    check: (disk) =>
      disk.look(async (system) => {
        assert.match(await system.ok(['chage', '--list', 'root']), /Account expires\s*: never/);
      }),
  }),
  account({
    id: 'P04',
    title: 'the login shell does not exist',
    finding: 'auth.shell',
    inject: type('usermod --shell /bin/zsh root'),
    check: (disk) =>
      disk.look(async (system) => {
        const shell = /^root:.*:(.*)$/m.exec(system.read('etc/passwd'))![1]!;
        await system.ok([shell, '-c', 'true']);
        assert.ok(system.read('etc/shells').split('\n').includes(shell));
      }),
  }),
  account({
    id: 'P05',
    title: '/etc/shadow is missing',
    finding: 'auth.db_broken',
    inject: (disk) => disk.inside((system) => rmSync(system.path('etc/shadow'))),
    check: requireAccountFiles,
  }),
  account({
    id: 'P06',
    title: 'a line of /etc/shadow is malformed',
    finding: 'auth.db_broken',
    inject: (disk) =>
      disk.inside((system) =>
        system.edit('etc/shadow', (text) => text.replace(/^root:.*$/m, 'root:broken')),
      ),
    check: requireAccountFiles,
  }),
  account({
    id: 'P07',
    title: 'the password is not known and /etc/shadow is immutable',
    action: 'access.reset-password',
    makesNew: true,
    finding: null,
    parameters: { user: 'root' },
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['chpasswd', '--encrypted'], `root:${STRANGERS_HASH}\n`);
        await system.ok(['chattr', '+i', '/etc/shadow']);
      }),
    check: async (disk, { password }) => {
      await requirePassword(disk, 'root', password);
      await disk.look(async (system) => {
        assert.match(await system.ok(['lsattr', '/etc/shadow']), /^-*i/);
      });
    },
  }),
  account({
    id: 'P08',
    title: 'pam_faillock has locked the account, in a folder that outlives a boot',
    finding: null,
    parameters: { user: 'root' },
    inject: (disk) =>
      disk.inside(async (system) => {
        system.edit('etc/security/faillock.conf', (text) => `${text}dir = /var/lib/faillock\n`);
        await system.ok(['mkdir', '--mode=755', '/var/lib/faillock']);
        const failure = Buffer.alloc(64);
        failure.write('198.51.100.7');
        // Valid, from another host, at 2026-11-01.
        failure.writeUInt16LE(3, 54);
        failure.writeBigUInt64LE(1_793_491_200n, 56);
        system.write('var/lib/faillock/root', Buffer.concat([failure, failure, failure]), 0o600);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const listing = await system.ok([
          'faillock',
          '--dir',
          '/var/lib/faillock',
          '--user',
          'root',
        ]);
        assert.doesNotMatch(listing, /198\.51\.100\.7/);
      }),
  }),
  account({
    id: 'P09',
    title: 'a file of /etc/sudoers.d has a syntax error',
    finding: 'auth.sudoers',
    inject: (disk) =>
      disk.inside((system) => system.write('etc/sudoers.d/zz', 'carol ALL=(ALL ALL\n', 0o440)),
    check: requireSudoers,
  }),
  account({
    id: 'P10',
    title: '/etc/sudoers may be written by everybody',
    finding: 'auth.sudoers',
    inject: type('chmod 666 /etc/sudoers'),
    check: requireSudoers,
  }),
  account({
    id: 'P11',
    title: 'the rules of PAM name a module that does not exist',
    finding: 'auth.pam_missing',
    parameters: { withoutModules: ['pam_unicorn.so'] },
    inject: (disk) =>
      disk.inside((system) =>
        system.edit('etc/pam.d/common-auth', (text) =>
          text.replace('pam_unix.so', 'pam_unicorn.so'),
        ),
      ),
    check: (disk) =>
      disk.look(async (system) => {
        const modules = /pam_\w+\.so/g;
        const rules = system.read('etc/pam.d/common-auth').replaceAll(/^#.*$/gm, '');
        assert.match(rules, /pam_unix\.so/);
        for (const [name] of rules.matchAll(modules)) {
          await system.ok(['test', '-e', `/usr/lib/x86_64-linux-gnu/security/${name}`]);
        }
      }),
  }),
];
