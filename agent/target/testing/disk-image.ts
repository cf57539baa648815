import { once } from 'node:events';
import { mkdir, open, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { execFile, spawn } from 'node:child_process';

const execute = promisify(execFile);
const MIB = 1024 * 1024;

export interface ImagePartition {
  mebibytes: number;
  /** Of sfdisk(8): a GUID, a hexadecimal number, or a short name; Linux when left out. */
  type?: string;
  format?: 'ext4' | 'xfs' | 'btrfs';
  uuid?: string;
  label?: string;
  /** Files by path, each with its text; a path that ends with `/` is a folder. */
  files?: Readonly<Record<string, string>>;
}

/** The least that is recognised as a system. */
export function smallSystem(hostname: string, fstab: string): Record<string, string> {
  return {
    '/etc/fstab': fstab,
    '/etc/hosts': '127.0.0.1 localhost\n',
    '/etc/hostname': `${hostname}\n`,
    '/etc/machine-id': `${Buffer.from(hostname).toString('hex').padEnd(32, '0').slice(0, 32)}\n`,
    '/etc/os-release': 'NAME="Debian GNU/Linux"\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n',
    '/bin/': '',
    ...Object.fromEntries(['/dev/', '/proc/', '/run/', '/sys/', '/tmp/'].map((path) => [path, ''])),
  };
}

/** Makes a partitioned image in a file. Needs root: file systems are filled by mounting them. */
export async function makeDiskImage(
  path: string,
  table: 'gpt' | 'dos',
  partitions: readonly ImagePartition[],
): Promise<void> {
  const total = partitions.reduce((sum, { mebibytes }) => sum + mebibytes, 2);
  const file = await open(path, 'w');
  await file.truncate(total * MIB);
  await file.close();
  const lines = partitions.map(
    ({ mebibytes, type }) => `size=${mebibytes}M${type === undefined ? '' : `, type=${type}`}`,
  );
  await runWith(`label: ${table}\n${lines.join('\n')}\n`, 'sfdisk', '--quiet', path);
  let start = 1;
  for (const { mebibytes, format, uuid, label, files = {} } of partitions) {
    if (format !== undefined) {
      const window = { offset: start * MIB, bytes: mebibytes * MIB };
      await withWindow(path, window, async (loop) => {
        const [program, ...words] = formatCommand(format, uuid, label);
        await run(program, ...words, loop);
        await fill(loop, `${path}.mount`, files);
      });
    }
    start += mebibytes;
  }
}

/** Mounts one partition of an image for the test's own hands. */
export async function withMountedPartition<T>(
  path: string,
  window: { offset: number; bytes: number },
  body: (point: string) => Promise<T>,
): Promise<T> {
  return withWindow(path, window, (loop) => withMounted(loop, `${path}.mount`, body));
}

const HOLD = 'mount "$1" "$2"; echo mounted; read -r _ || true; umount "$2"';

/**
 * Mounts in a namespace of its own: a sandbox that starts meanwhile would take along a mount of everybody's, and
 * hold it after it was unmounted here.
 */
async function withMounted<T>(
  loop: string,
  point: string,
  body: (point: string) => Promise<T>,
): Promise<T> {
  await mkdir(point, { recursive: true });
  const words = ['--mount', '--propagation', 'private', 'sh', '-ec', HOLD, 'sh', loop, point];
  const holder = spawn('unshare', words, { env: ENVIRONMENT, stdio: ['pipe', 'pipe', 'inherit'] });
  const closed = once(holder, 'close') as Promise<[status: number | null]>;
  const mounted = once(holder.stdout, 'data').then(() => true);
  if (!(await Promise.race([mounted, closed.then(() => false)]))) {
    throw new Error(`${loop} cannot be mounted`);
  }
  const done = await body(`/proc/${holder.pid}/root${point}`).finally(() => holder.stdin.end());
  const [status] = await closed;
  if (status !== 0) throw new Error(`${point} cannot be unmounted`);
  return done;
}

function formatCommand(
  format: string,
  uuid?: string,
  label?: string,
): [program: string, ...words: string[]] {
  const name = label === undefined ? [] : ['-L', label];
  if (format === 'ext4') {
    return ['mke2fs', '-q', '-F', '-t', 'ext4', ...(uuid ? ['-U', uuid] : []), ...name];
  }
  if (format === 'xfs') {
    return ['mkfs.xfs', '-q', '-f', ...(uuid ? ['-m', `uuid=${uuid}`] : []), ...name];
  }
  return ['mkfs.btrfs', '-q', '-f', ...(uuid ? ['-U', uuid] : []), ...name];
}

async function fill(
  loop: string,
  point: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  await withMounted(loop, point, async (root) => {
    for (const [name, text] of Object.entries(files)) {
      const place = join(root, name);
      await mkdir(name.endsWith('/') ? place : dirname(place), { recursive: true });
      if (!name.endsWith('/')) await writeFile(place, text);
    }
  });
}

async function withWindow<T>(
  path: string,
  { offset, bytes }: { offset: number; bytes: number },
  body: (loop: string) => Promise<T>,
): Promise<T> {
  const words = [
    '--find',
    '--show',
    '--offset',
    String(offset),
    '--sizelimit',
    String(bytes),
    path,
  ];
  const loop = (await run('losetup', ...words)).trim();
  try {
    return await body(loop);
  } finally {
    await run('losetup', '--detach', loop);
  }
}

async function run(program: string, ...words: string[]): Promise<string> {
  return (await execute(program, words, { env: ENVIRONMENT })).stdout;
}

async function runWith(input: string, program: string, ...words: string[]): Promise<void> {
  const running = execute(program, words, { env: ENVIRONMENT });
  running.child.stdin!.end(input);
  await running;
}

const ENVIRONMENT = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' };
