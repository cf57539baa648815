import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, it } from 'vitest';
import { systemCallFilter } from './system-call-filter.ts';

const confined = { capabilities: ['device'] } as const;
const mounting = { capabilities: ['disks'] } as const;
const isRoot = process.getuid?.() === 0;

/** What perl's `syscall` says of each call, in a sandbox with this filter: `ok`, or the error's number. */
async function attempt(filter: Buffer, calls: readonly (readonly number[])[]): Promise<string[]> {
  const words = calls.map((call) => call.join(','));
  const script = [
    'for (@ARGV) {',
    '  my ($number, @arguments) = map { $_ + 0 } split /,/;',
    '  my $result = syscall($number, @arguments);',
    '  print $result < 0 ? $! + 0 : "ok", "\\n";',
    '}',
  ].join('\n');
  const child = spawn(
    'bwrap',
    [
      ...['--unshare-pid', '--unshare-net', '--ro-bind', '/', '/', '--dev', '/dev'],
      ...['--cap-add', 'ALL', '--seccomp', '3', '--', 'perl', '-e', script, ...words],
    ],
    { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] },
  );
  (child.stdio[3] as NodeJS.WritableStream).end(filter);
  let out = '';
  child.stdout!.on('data', (text: Buffer) => (out += text.toString()));
  await once(child, 'close');
  return out.trim().split('\n');
}

const EPERM = '1';
const NEW_USER = 0x10_00_00_00;
const SIGCHLD = 17;

describe.runIf(process.arch === 'x64' && isRoot)('the system calls of a confined runner', () => {
  it('leave no way past its namespaces', async () => {
    const said = await attempt(systemCallFilter(confined)!, [
      [101, 0, 0, 0, 0], // ptrace(PTRACE_TRACEME)
      [272, NEW_USER], // unshare
      [56, NEW_USER | SIGCHLD, 0, 0, 0, 0], // clone
      [304, 0, 0, 0], // open_by_handle_at
      [165, 0, 0, 0, 0, 0], // mount
      [250, 0, 0, 0, 0], // keyctl
      [321, 0, 0, 0], // bpf
      [16, 0, 0x5412, 0], // ioctl(TIOCSTI)
    ]);
    expect(said).toEqual(Array.from({ length: 8 }, () => EPERM));
  });

  it('are those that programs live by', async () => {
    const said = await attempt(systemCallFilter(confined)!, [
      [39], // getpid
      [41, 1, 1, 0], // socket(AF_UNIX, SOCK_STREAM)
      [41, 2, 1, 0], // socket(AF_INET, SOCK_STREAM)
      [435, 0, 0], // clone3 is as on an old kernel
      [41, 38, 5, 0], // socket(AF_ALG)
      [41, 40, 1, 0], // socket(AF_VSOCK)
    ]);
    expect(said).toEqual(['ok', 'ok', 'ok', '38', '97', '97']);
  });

  it('may mount and make namespaces where disks are declared', async () => {
    const filter = systemCallFilter(mounting)!;
    const [mount, unshare] = await attempt(filter, [
      [165, 0, 0, 0, 0, 0],
      [272, NEW_USER],
    ]);
    expect(mount).not.toBe(EPERM);
    expect(unshare).toBe('ok');
  });
});

describe('a filter', () => {
  it('is not there for root of the host, nor for a machine it knows no numbers of', () => {
    expect(systemCallFilter({ capabilities: ['host', 'network'] })).toBeNull();
    expect(systemCallFilter(confined, 'riscv64')).toBeNull();
  });

  it.each(['x64', 'arm64'])('of %s never jumps past its end, and ends by a return', (arch) => {
    const filter = systemCallFilter(confined, arch)!;
    const count = filter.length / 8;
    expect(count).toBeLessThan(4096);
    for (let at = 0; at < count; at++) {
      const code = filter.readUInt16LE(at * 8);
      if ((code & 7) !== 5) continue;
      expect(at + 1 + filter[at * 8 + 2]!).toBeLessThan(count);
      expect(at + 1 + filter[at * 8 + 3]!).toBeLessThan(count);
    }
    expect(filter.readUInt16LE((count - 1) * 8)).toBe(0x06);
  });
});
