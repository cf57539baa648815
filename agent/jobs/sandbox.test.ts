import { execFileSync } from 'node:child_process';
import {
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { ScriptedStep } from '../runner/testing/scripted-step.ts';
import type { Jobs } from './job.ts';
import { ended, JobsFixture, output } from './jobs-fixture.ts';
import { isSandboxAvailable } from './sandbox-probe.ts';

test('bubblewrap is found where it is, and missed where it is not', async () => {
  expect(await isSandboxAvailable()).toBe(true);
  expect(await isSandboxAvailable('/no/such/bwrap')).toBe(false);
  expect(await isSandboxAvailable('/bin/false')).toBe(false);
});

let fixture: JobsFixture;
let jobs: Jobs;
let folder: string;
let server: Server;
let port: number;

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'ivx-')));
  mkdirSync(join(folder, 'etc'));
  writeFileSync(join(folder, 'etc', 'policy.toml'), 'policy');
  fixture = await JobsFixture.create({
    protectedPaths: [join(folder, 'etc')],
    runnerEntry: join(import.meta.dirname, '..', 'runner', 'testing', 'scripted-runner.ts'),
  });
  for (const name of ['identity', 'trust']) {
    mkdirSync(join(fixture.state, name));
    writeFileSync(join(fixture.state, name, 'secret'), 'agent secret');
  }
  jobs = fixture.agent();
  await jobs.load();
  server = createServer((socket) => socket.on('error', () => undefined).end('reached'));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  port = (server.address() as { port: number }).port;
});

afterEach(async () => {
  await fixture.close();
  server.close();
  rmSync(folder, { recursive: true, force: true });
});

/** Whether a shell command succeeds in the sandbox of `command.run`. */
async function asHost(script: string): Promise<string> {
  const job = await jobs.start(fixture.shell(`(${script}) 2>&1 && echo YES || echo NO`), {});
  await ended(job);
  return (await output(job)).toString();
}

interface Confined {
  action: 'filesystem.check' | 'filesystem.repair';
  parameters?: Record<string, JsonValue>;
}

/** The same in the sandbox of an action that has a device and nothing else. */
async function confined(script: string, how: Confined): Promise<string> {
  const steps: ScriptedStep[] = [
    { id: 'only', interrupt: 'now', run: `(${script}) 2>&1 && echo YES || echo NO` },
  ];
  const parameters = { script: steps as unknown as JsonValue, ...how.parameters };
  const job = await jobs.start(fixture.spec({ ...how, parameters }), {});
  expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
  return (await output(job)).toString();
}

const repair = (script: string, parameters: Record<string, JsonValue> = {}) =>
  confined(script, { action: 'filesystem.repair', parameters });

test('the system calls of a confined runner are filtered', async () => {
  const filtered = 'grep -Eq "^Seccomp:[[:space:]]+2$" /proc/self/status';
  expect(await repair(filtered)).toBe('YES\n');
  expect(await asHost(filtered)).toBe('NO\n');
});

describe('a runner of the host profile', () => {
  test('sees neither identity nor trust nor other jobs', async () => {
    const other = await jobs.start(fixture.command(['true']), {});
    await ended(other);
    const text = await asHost(`cd ${fixture.state}; ls; ls jobs; cat identity/secret trust/secret`);
    expect(text).not.toContain('agent secret');
    expect(text).not.toContain(other.id);
    expect(text).toContain('NO');
  });

  test('cannot write policy or program', async () => {
    expect(await asHost(`echo x > ${folder}/etc/policy.toml`)).toMatch(/Read-only.*\nNO/);
    expect(await asHost(`echo x > ${import.meta.dirname}/x`)).toMatch(/Read-only.*\nNO/);
    expect(await asHost(`touch ${process.execPath}`)).toMatch(/(Read-only|busy).*\nNO/);
    expect(readFileSync(join(folder, 'etc', 'policy.toml'), 'utf8')).toBe('policy');
  });

  test('is root on the host: writes files, settings and the network', async () => {
    expect(await asHost(`echo hello > ${folder}/file`)).toBe('YES\n');
    expect(readFileSync(join(folder, 'file'), 'utf8')).toBe('hello\n');
    const setting = '/proc/sys/kernel/hostname';
    expect(await asHost(`cat ${setting} > ${folder}/name; cat ${folder}/name > ${setting}`)).toBe(
      'YES\n',
    );
    expect(await asHost(`exec 3<>/dev/tcp/127.0.0.1/${port}`.replace(/^/, 'bash -c "') + '"')).toBe(
      'YES\n',
    );
  });

  test('sees only its own processes, and no descriptor or environment of the agent', async () => {
    const text = await asHost('ls /proc | grep -c "^[0-9]*$"; ls /proc/1/fd /proc/self/fd; env');
    expect(Number(text.split('\n')[0])).toBeLessThan(12);
    const environment = await asHost('tr "\\0" "\\n" < /proc/1/environ');
    expect(environment.replaceAll(/^(PWD|NODE_COMPILE_CACHE)=.*\n/gm, '')).toBe('YES\n');
  });

  test('cannot kill its runner', async () => {
    expect(await asHost('kill -9 1; kill -9 -1; true')).toBe('');
    const job = await jobs.start(fixture.shell('kill -9 1; kill -TERM 1; sleep 0.1; echo on'), {});
    expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
    expect((await output(job)).toString()).toBe('on\n');
  });
});

test('a signal to its runner opens no debugger', async () => {
  const connect = `bash -c 'exec 3<>/dev/tcp/127.0.0.1/9229'`;
  expect(await asHost(`kill -USR1 1; sleep 0.3; ${connect}`)).toContain('NO');
});

describe('a confined runner', () => {
  test('cannot write anything but its own folder', async () => {
    expect(await repair('touch /x')).toMatch(/Read-only.*\nNO/);
    expect(await repair('touch /etc/x /usr/x')).toMatch(/Read-only/);
    for (const name of ['kernel/hostname', 'kernel/core_pattern', 'vm/swappiness']) {
      const same = `cat /proc/sys/${name} > /tmp/same && cat /tmp/same > /proc/sys/${name}`;
      expect(await repair(same)).toMatch(/Read-only.*\nNO/);
    }
    expect(await repair('echo 1 > /sys/kernel/profiling')).toMatch(/Read-only.*\nNO/);
    expect(await repair(`touch ${folder}/x`)).toContain('NO');
    expect(existsSync('/x')).toBe(false);
  });

  test('has no network, not even the loopback of the host', async () => {
    const connect = `bash -c 'exec 3<>/dev/tcp/127.0.0.1/${port}'`;
    expect(await repair(connect)).toMatch(/refused.*\n(.*\n)*NO/);
    expect(await repair('test "$(tail -n +3 /proc/net/dev | cut -d: -f1)" = "    lo"')).toBe(
      'YES\n',
    );
  });

  test('sees no secrets of the agent or the host, and no sockets of other programs', async () => {
    const state = fixture.state;
    expect(await repair(`cat ${state}/identity/secret ${state}/trust/secret`)).toContain('NO');
    expect(await repair('test -s /etc/shadow')).toBe('NO\n');
    expect(await repair('test -z "$(ls -A /root /home /run | grep -v :)"')).toBe('YES\n');
    const sockets = 'find /run /tmp /var -type s -not -name control.sock | grep .';
    expect(await repair(sockets)).toContain('NO');
  });

  test('has only the powers it needs, and cannot get others', async () => {
    const capabilities = async (how: Confined) => {
      const text = await confined('grep CapEff /proc/self/status', how);
      return parseInt(/CapEff:\s+([0-9a-f]+)/.exec(text)![1]!, 16);
    };
    // CAP_DAC_OVERRIDE is bit 1 (capabilities(7)).
    expect(await capabilities({ action: 'filesystem.repair' })).toBe(0b10);
    expect(await capabilities({ action: 'filesystem.check' })).toBe(0);
    expect(await repair('mount -t tmpfs none /mnt')).toContain('NO');
    expect(await repair('umount /tmp || umount -l /run')).toContain('NO');
    expect(await repair('mknod /tmp/sda b 8 0')).toContain('NO');
    expect(await repair('unshare -Ur mount -o remount,rw,bind /')).toContain('NO');
  });

  test('opens no file by its handle, which would lead past every mount', async () => {
    const script = join(folder, 'by-handle.pl');
    // name_to_handle_at and open_by_handle_at (open_by_handle_at(2)); the handle begins with its room.
    const [name, open] = process.arch === 'arm64' ? [264, 265] : [303, 304];
    const program = [
      `my $handle = pack('Li', 128, 0) . "\\0" x 128; my $mount = pack('i', 0);`,
      `my $path = '.'; opendir(my $folder, $path) or die 'folder';`,
      `syscall(${name}, -100, $path, $handle, $mount, 0) == 0 or die "name: $!";`,
      `my $fd = syscall(${open}, fileno($folder), $handle, 0); die "open: $!" if $fd < 0;`,
    ].join('\n');
    writeFileSync(script, program);
    const bound = { device: script };
    for (const action of ['filesystem.repair', 'filesystem.check'] as const) {
      const text = await confined(`perl ${script}`, { action, parameters: bound });
      expect(text).toMatch(/not permitted.*\nNO/);
    }
    // The program itself is sound: with all powers it opens the folder.
    expect(execFileSync('perl', [script], { cwd: folder, encoding: 'utf8' })).toBe('');
  });

  test('opens an image of another owner that nobody else may read', async () => {
    const image = join(folder, 'disk.img');
    writeFileSync(image, 'before', { mode: 0o600 });
    chownSync(image, 1234, 1234);
    const parameters = { device: image };
    expect(await confined(`cat ${image}`, { action: 'filesystem.check', parameters })).toBe(
      'beforeYES\n',
    );
    expect(await repair(`echo after > ${image}`, parameters)).toBe('YES\n');
    expect(readFileSync(image, 'utf8')).toBe('after\n');
  });

  test('writes the image it repairs and nothing beside it', async () => {
    const image = join(folder, 'disk.img');
    const beside = join(folder, 'beside');
    for (const path of [image, beside]) writeFileSync(path, 'before');
    const parameters = { device: image };
    expect(await repair(`echo after > ${image}`, parameters)).toBe('YES\n');
    expect(readFileSync(image, 'utf8')).toBe('after\n');
    expect(await repair(`cat ${beside} || echo x > ${beside}`, parameters)).toContain('YES');
    expect(readFileSync(beside, 'utf8')).toBe('before');
  });

  test('reads the image it checks, and cannot write it', async () => {
    const image = join(folder, 'disk.img');
    writeFileSync(image, 'before', { mode: 0o600 });
    const how: Confined = { action: 'filesystem.check', parameters: { device: image } };
    expect(await confined(`cat ${image} && echo && echo x > ${image}`, how)).toMatch(
      /before\n.*Read-only.*\nNO/,
    );
    expect(readFileSync(image, 'utf8')).toBe('before');
  });

  describe('with a block device', () => {
    let loop: string;

    beforeEach(() => {
      writeFileSync(join(folder, 'disk'), Buffer.alloc(1024 * 1024, 'd'));
      const words = ['--find', '--show', join(folder, 'disk')];
      loop = execFileSync('losetup', words, { encoding: 'utf8' }).trim();
    });

    afterEach(() => {
      execFileSync('losetup', ['--detach', loop]);
    });

    test('repairs it, and sees no other', async () => {
      const write = `printf new | dd of=${loop} conv=notrunc status=none && sync`;
      expect(await repair(write, { device: loop })).toBe('YES\n');
      expect(execFileSync('head', ['-c', '4', loop]).toString()).toBe('newd');
      const others = await repair('ls /dev | grep -c "^loop\\|^sd\\|^vd\\|^nvme"', {
        device: loop,
      });
      expect(others).toBe('1\nYES\n');
    });

    test('checks it without being able to write it', async () => {
      const how: Confined = { action: 'filesystem.check', parameters: { device: loop } };
      expect(await confined(`head -c 3 ${loop}`, how)).toBe('dddYES\n');
      const write = `printf new | dd of=${loop} conv=notrunc`;
      expect(await confined(write, how)).toMatch(/(denied|Read-only)(.*\n)*NO/);
      expect(await confined(`chmod 600 ${loop}; ${write}`, how)).toContain('NO');
      expect(execFileSync('head', ['-c', '3', loop]).toString()).toBe('ddd');
    });
  });
});
