import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { AccessDisk } from './testing/access-disk.ts';

const ACTION = 'access.reset-password';
const OURS = ['/etc/shadow', '/etc/passwd'];

let disk: AccessDisk;
let ours: string[];
beforeEach(async () => {
  disk = await AccessDisk.create();
  ours = OURS.map((path) => readFileSync(path, 'latin1'));
});
afterEach(async () => {
  // Whatever lay on the disk, this machine's own files are what they were.
  expect(OURS.map((path) => readFileSync(path, 'latin1'))).toEqual(ours);
  await disk.close();
});

/** Nothing is made of the disk, by a plan or without one. */
async function expectRefused(
  reason: string | RegExp,
  parameters: Record<string, string> = {},
  change = {},
): Promise<void> {
  const before = await disk.look();
  await expect(disk.plan(ACTION, parameters, change)).rejects.toThrow(reason);
  expect(await disk.look()).toBe(before);
}

describe.each(['shadow', 'passwd'])('/etc/%s on a hostile disk', (name) => {
  it.each([
    ['a symlink out of it', `rm etc/$N; ln -s ../../../../../../etc/$N etc/$N`],
    ['an absolute symlink', `mv etc/$N etc/real; ln -s /etc/real etc/$N`],
    ['a pipe', `rm etc/$N; mkfifo etc/$N`],
    ['a device', `rm etc/$N; mknod etc/$N c 1 5`],
    ['a folder', `rm etc/$N; mkdir etc/$N`],
    ['a file with a second name', `ln etc/$N etc/other`],
    [
      'a socket',
      `rm etc/$N; perl -MSocket -e 'socket(S,1,1,0); bind(S,pack_sockaddr_un("etc/$N"))'`,
    ],
  ])('is refused as %s', async (_, script) => {
    await disk.sh(script.replaceAll('$N', name));
    await expectRefused('not_a_plain_file');
  });

  it('is refused when it is too long to be one', async () => {
    await disk.sh(`truncate -s 16M etc/${name}`);
    await expectRefused('file_too_large');
  });
});

it('/etc as a symlink out of the disk leads nowhere', async () => {
  await disk.sh('mv etc real; ln -s ../../../../../../../etc etc; mkdir -p usr/lib');
  // What looks like a system without /etc is none.
  await expectRefused(/no_system|accounts_broken|not_a_plain_file/);
});

describe('a home on a hostile disk', () => {
  const publicKey = execFileSync('sh', [
    '-c',
    'd=$(mktemp -d); ssh-keygen -q -t ed25519 -N "" -f $d/k; cat $d/k.pub; rm -r $d',
  ])
    .toString()
    .trim();
  const key = { credentialRecipient: { type: 'ssh', publicKey } };

  it.each([
    ['.ssh leads to the keys of another', 'mkdir root/.ssh; ln -s /root/.ssh home/ann/.ssh'],
    ['.ssh leads out', 'ln -s ../../../../../../../../tmp home/ann/.ssh'],
    ['.ssh is a pipe', 'mkfifo home/ann/.ssh'],
    [
      'the keys lead to a system file',
      'mkdir home/ann/.ssh; ln -s /etc/shadow home/ann/.ssh/authorized_keys',
    ],
    [
      'the keys are another name of a system file',
      'mkdir home/ann/.ssh; ln etc/shadow home/ann/.ssh/authorized_keys',
    ],
    ['the keys are a pipe', 'mkdir home/ann/.ssh; mkfifo home/ann/.ssh/authorized_keys'],
    ['the keys are a device', 'mkdir home/ann/.ssh; mknod home/ann/.ssh/authorized_keys b 7 0'],
  ])('is refused where %s', async (_, script) => {
    await disk.sh(script);
    await expectRefused('not_a_plain_file', { user: 'ann' }, key);
  });

  it('is refused where the keys are too many to be keys', async () => {
    await disk.sh('mkdir home/ann/.ssh; truncate -s 16M home/ann/.ssh/authorized_keys');
    await expectRefused('file_too_large', { user: 'ann' }, key);
  });

  it.each([
    ['is not there', 'rmdir home/ann'],
    ['is a file', 'rmdir home/ann; touch home/ann'],
    ['goes round in circles', 'rmdir home/ann; ln -s ann home/ann'],
  ])('is refused where it %s', async (_, script) => {
    await disk.sh(script);
    await expectRefused('home_missing', { user: 'ann' }, key);
  });

  it('is the one on the disk where a symlink leads to another place of it', async () => {
    await disk.sh('mv home/ann home/real; ln -s /../../../../../home/real home/ann');
    const done = await disk.run(ACTION, { user: 'ann' }, key as object);
    expect(done.result).toMatchObject({ files: ['/home/real/.ssh/authorized_keys'] });
  });
});

it('the list of failed log-ins leads nowhere', async () => {
  await disk.sh(`
    mkdir -p etc/security var/lib
    echo 'dir = /var/lib/faillock' > etc/security/faillock.conf
    ln -s ../../../../../../../etc var/lib/faillock; ln -s /etc/shadow etc/root`);
  await expectRefused('not_a_plain_file');
});
