import { chmodSync, copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { build } from 'esbuild';
import { must } from '../../harness/process.ts';
import { FaultDisk } from '../fault-disk.ts';
import type { Layout } from '../layouts.ts';
import type { MountedSystem } from '../mounted-system.ts';
import { VirtualMachine } from '../virtual-machine.ts';

const repository = path.resolve(import.meta.dirname, '../../..');
/** What the guest tells of one thing that it tried. */
export type Told = { what: string } & Record<string, unknown>;

/** Where in the guest the programs of the laboratory lie. */
const LAB = 'lab';
const END = /^LAB-END (\d+)$/m;

export interface AgentGuest {
  /** What runs in it, from the root of the repository; it tells by `telling.ts`. */
  program: string;
  firmware: Layout['firmware'];
  /** Of the kernel, loaded at its start. */
  modules: readonly string[];
  /** Images that are /dev/vdb, /dev/vdc, …; what is written to them stays. */
  disks: readonly string[];
  /** A file with what its firmware remembers; what is written to it stays. */
  variables?: string;
  withinMs: number;
}
/** What a kernel without an initrd lacks of its own root, in the order of their dependencies. */
const ROOT_MODULES = [
  ...['virtio_ring', 'virtio', 'virtio_pci_modern_dev', 'virtio_pci_legacy_dev', 'virtio_pci'],
  'virtio_blk',
];

const INITRD_INIT = `#!/bin/busybox sh
/bin/busybox mount -t devtmpfs dev /dev
for module in ${ROOT_MODULES.join(' ')}; do /bin/busybox insmod /modules/$module.ko; done
until [ -b /dev/vda2 ]; do /bin/busybox sleep 0.1; done
/bin/busybox mount -t ext4 /dev/vda2 /root
exec /bin/busybox switch_root /root /${LAB}/init
`;

/** No service manager: nothing but the laboratory touches the disks. */
const init = (modules: readonly string[]) => `#!/bin/sh
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
mount -t tmpfs run /run; mount -t tmpfs tmp /tmp
for module in ${modules.join(' ')}; do modprobe $module; done
/${LAB}/node /${LAB}/inside.mjs
status=$?; sync; echo "LAB-END $status"
sleep 60
`;

/**
 * Runs a program in a virtual machine with the kernel of Debian: agents, their runners and their sandbox, on disks
 * and firmware that are the machine's own. Resolves to what it tells, line by line.
 */
export async function runAgentGuest(guest: AgentGuest): Promise<Told[]> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-guest-'));
  const root = await FaultDisk.copy('bios-gpt');
  let machine: VirtualMachine | undefined;
  try {
    const programs = await bundle(folder, guest.program);
    const kernel = await root.inside((system) => install(system, guest, programs, folder));
    machine = await VirtualMachine.start({
      firmware: guest.firmware,
      ...(guest.variables !== undefined && { variables: guest.variables }),
      disks: [root.image, ...guest.disks],
      keepWrites: true,
      kernel: { ...kernel, commandLine: 'console=ttyS0 loglevel=3 panic=-1' },
    });
    await machine.shows(END, guest.withinMs);
    if (END.exec(machine.console)![1] !== '0') throw new Error(machine.console.slice(-4000));
    await machine.end();
    const told = await root.inside((system) => system.read(`${LAB}/told`));
    return told
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Told);
  } finally {
    await machine?.end();
    root.close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The runner as the agent has it, and what drives it. */
async function bundle(folder: string, program: string): Promise<string> {
  const out = path.join(folder, 'programs');
  await build({
    absWorkingDir: repository,
    entryPoints: {
      runner: 'agent/runner/main.ts',
      inside: program,
    },
    outdir: out,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    outExtension: { '.js': '.mjs' },
    banner: {
      js: "import { createRequire as make } from 'node:module'; const require = make(import.meta.url);",
    },
    logLevel: 'warning',
  });
  return out;
}

async function install(
  system: MountedSystem,
  { modules }: AgentGuest,
  programs: string,
  folder: string,
): Promise<{ image: string; initrd: string }> {
  await must(['cp', '--recursive', programs, system.path(LAB)]);
  copyFileSync(process.execPath, system.path(`${LAB}/node`));
  chmodSync(system.path(`${LAB}/node`), 0o755);
  system.write(`${LAB}/init`, init(modules), 0o755);
  const initrd = `${LAB}/initrd`;
  for (const name of ['bin', 'dev', 'modules', 'root']) {
    await must(['mkdir', '--parents', system.path(`${initrd}/${name}`)]);
  }
  copyFileSync('/usr/bin/busybox', system.path(`${initrd}/bin/busybox`));
  chmodSync(system.path(`${initrd}/bin/busybox`), 0o755);
  system.write(`${initrd}/init`, INITRD_INIT, 0o755);
  const version = (await system.ok(['sh', '-c', 'ls /lib/modules | sort -V | tail -1'])).trim();
  const copy = `for m in ${ROOT_MODULES.join(' ')}; do
    cp "$(modinfo -k ${version} -n $m)" /${initrd}/modules/$m.ko
  done
  cd /${initrd} && find . | cpio --quiet --create --format=newc > /${LAB}/initrd.img`;
  await system.ok(['sh', '-ec', copy]);
  const [image, packed] = [path.join(folder, 'vmlinuz'), path.join(folder, 'initrd.img')];
  copyFileSync(system.path(`boot/vmlinuz-${version}`), image);
  copyFileSync(system.path(`${LAB}/initrd.img`), packed);
  return { image, initrd: packed };
}
