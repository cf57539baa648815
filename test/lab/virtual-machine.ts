import { copyFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import { Daemon, eventually } from '../harness/process.ts';
import type { Layout } from './layouts.ts';

export interface MachineOptions {
  firmware: Layout['firmware'];
  /** Image files, `/dev/vda` first. Nothing is written to them but where `keepWrites` says so. */
  disks: readonly string[];
  keepWrites?: boolean;
  memoryMebibytes?: number;
  /** A kernel to start instead of what the first disk's boot loader finds. */
  kernel?: { image: string; initrd: string; commandLine: string };
  /** For UEFI: a file with what the firmware remembers, where that stays; empty at first without one. */
  variables?: string;
  /** Whether it has a network card; this machine is 10.0.2.2 to it. */
  network?: boolean;
}

const FIRMWARE = '/usr/share/OVMF';

/**
 * A virtual machine of QEMU with a serial console. Always emulated: where KVM is nested without
 * hardware help a kernel hangs at its entry, and no probe tells that beforehand.
 */
export class VirtualMachine {
  private readonly folder = mkdtempSync(path.join(tmpdir(), 'iv-vm-'));
  private readonly qemu: Daemon;
  private readonly log: string;
  private typing: net.Socket | undefined;
  private seen = 0;

  private constructor(options: MachineOptions) {
    this.log = path.join(this.folder, 'serial.log');
    this.qemu = new Daemon(
      ['qemu-system-x86_64', ...this.words(options)],
      path.join(this.folder, 'qemu.log'),
    );
  }

  static async start(options: MachineOptions): Promise<VirtualMachine> {
    const machine = new VirtualMachine(options);
    machine.qemu.start();
    try {
      const socket = path.join(machine.folder, 'serial');
      await eventually('QEMU has a console', () => existsSync(socket));
      machine.typing = net.connect(socket);
      machine.typing.on('error', () => {});
      // Output is in the log; without a reader the machine would wait for one.
      machine.typing.resume();
    } catch (error) {
      const said = readFileSync(path.join(machine.folder, 'qemu.log'), 'utf8');
      await machine.end();
      throw new Error(`${(error as Error).message}\nQEMU said:\n${said}`, { cause: error });
    }
    return machine;
  }

  /** All that the console has shown since the machine was switched on. */
  get console(): string {
    if (!existsSync(this.log)) return '';
    return stripVTControlCharacters(readFileSync(this.log, 'utf8')).replaceAll('\r', '');
  }

  /** Waits until the console shows it, after what the last call waited for; returns what it shows. */
  async shows(pattern: RegExp, timeoutMs = 300_000): Promise<string> {
    const find = () => pattern.exec(this.console.slice(this.seen));
    try {
      const found = await eventually(`the console shows ${pattern}`, find, timeoutMs);
      this.seen += found.index + found[0].length;
      return found[0];
    } catch (error) {
      const last = this.console.slice(-3000);
      throw new Error(`${(error as Error).message}\nthe console ends with:\n${last}`, {
        cause: error,
      });
    }
  }

  /** Types at the console. */
  type(text: string): void {
    this.typing!.write(text);
  }

  /** Logs in at the console as a person does; resolves to whether the shell came. */
  async logsIn(user: string, password: string, patienceMs?: number): Promise<boolean> {
    await this.shows(/^\S+ login:/m, patienceMs);
    this.type(`${user}\n`);
    await this.shows(/Password:/, 60_000);
    this.type(`${password}\n`);
    const answer = await this.shows(/[#$] $|Login incorrect|change your password/, 60_000);
    return /[#$] $/.test(answer);
  }

  /** Switches the machine off at once. */
  async end(): Promise<void> {
    await this.qemu.end('SIGKILL');
    this.typing?.destroy();
    rmSync(this.folder, { recursive: true, force: true });
  }

  private words(options: MachineOptions): string[] {
    const { disks, kernel, keepWrites = false, memoryMebibytes = 1024 } = options;
    const snapshot = keepWrites ? 'off' : 'on';
    const words = [
      ...['-machine', 'q35,graphics=off', '-accel', 'tcg,thread=multi', '-cpu', 'Nehalem'],
      ...['-smp', '2', '-m', String(memoryMebibytes), '-nodefaults', '-display', 'none'],
      ...['-vga', 'none', '-device', 'virtio-rng-pci'],
      '-chardev',
      `socket,id=serial,path=${this.folder}/serial,server=on,wait=off,logfile=${this.log}`,
      ...['-serial', 'chardev:serial'],
    ];
    if (options.firmware === 'uefi') {
      const { variables = path.join(this.folder, 'vars.fd') } = options;
      if (options.variables === undefined) emptyVariables(variables);
      const flash = 'if=pflash,format=raw';
      words.push('-drive', `${flash},readonly=on,file=${FIRMWARE}/OVMF_CODE_4M.fd`);
      words.push('-drive', `${flash},file=${variables}`);
    }
    for (const image of disks) {
      words.push('-drive', `if=virtio,format=raw,cache=unsafe,snapshot=${snapshot},file=${image}`);
    }
    if (options.network === true) {
      words.push('-netdev', 'user,id=net');
      words.push('-device', 'virtio-net-pci,netdev=net,romfile=,addr=3');
    }
    if (kernel !== undefined) {
      words.push('-kernel', kernel.image, '-initrd', kernel.initrd);
      words.push('-append', kernel.commandLine);
    }
    return words;
  }
}

/** What a firmware remembers that has never been started. */
export function emptyVariables(file: string): void {
  copyFileSync(`${FIRMWARE}/OVMF_VARS_4M.fd`, file);
}

const BOOT_WITHIN_MS = 300_000;

/** Where a boot has ended that reaches no login. */
const STUCK =
  /grub rescue>|^grub>|\(initramfs\)|emergency mode|Kernel panic|No bootable device|^Shell>|System halted/m;

/**
 * Starts the system on an image, or on several disks of one machine, the first of which the firmware starts.
 * Their bytes stay as they are. Waits until the system asks at its console who logs in; throws with the
 * console's last lines where it does not. About half a minute.
 */
export async function bootsToLogin(
  images: string | readonly string[],
  firmware: Layout['firmware'],
): Promise<void> {
  const disks = typeof images === 'string' ? [images] : images;
  const machine = await VirtualMachine.start({ firmware, disks });
  try {
    const shown = await machine.shows(
      new RegExp(`^\\S+ login:|${STUCK.source}`, 'm'),
      BOOT_WITHIN_MS,
    );
    if (STUCK.test(shown)) throw new Error(`the boot ends at: ${machine.console.slice(-1000)}`);
  } finally {
    await machine.end();
  }
}
