import os from 'node:os';
import { parseEnv } from 'node:util';
import { parseLsblk } from './filesystems/block-devices.ts';
import type { Probe } from './probe.ts';

/**
 * What kind of machine this is, read from /proc and /sys. A library for this (systeminformation) was tried and
 * is not used: it makes shell commands of the names it finds, over a hundred processes per look, and one
 * of them waits for a name server.
 */
export const machineFacts: Probe = {
  id: 'hardware.machine',
  area: 'hardware',
  limitMs: 2_000,
  async look({ files }) {
    const read = async (path: string) => (await files.read(path).catch(() => null)) ?? '';
    const memory = await read('/proc/meminfo');
    const kibibytes = (name: string) =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm').exec(memory)?.[1] ?? 0) * 1024;
    const [uptime = '0'] = (await read('/proc/uptime')).split(' ');
    const load = (await read('/proc/loadavg')).split(' ').slice(0, 3).map(Number);
    const cpu = /^(?:model name|Hardware|Model)\s*:\s*(.+)$/m.exec(await read('/proc/cpuinfo'));
    const dmi = '/sys/class/dmi/id';
    const machine = [await read(`${dmi}/sys_vendor`), await read(`${dmi}/product_name`)]
      .map((text) => text.trim())
      .filter(Boolean)
      .join(' ');
    return {
      findings: [],
      facts: {
        os: (parseEnv(await read('/etc/os-release'))['PRETTY_NAME'] ?? '').slice(0, 200),
        kernel: (await read('/proc/sys/kernel/osrelease')).trim().slice(0, 200),
        architecture: os.machine().slice(0, 50),
        hostname: (await read('/proc/sys/kernel/hostname')).trim().slice(0, 255),
        uptimeSeconds: Math.floor(Number(uptime)),
        cpus: os.availableParallelism(),
        ...(cpu !== null && { cpuModel: cpu[1]!.slice(0, 200) }),
        load,
        memoryBytes: kibibytes('MemTotal'),
        memoryAvailableBytes: kibibytes('MemAvailable'),
        swapBytes: kibibytes('SwapTotal'),
        ...(machine !== '' && { machine: machine.slice(0, 200) }),
      },
    };
  },
};

export const diskFacts: Probe = {
  id: 'hardware.block-devices',
  area: 'hardware',
  limitMs: 4_200,
  async look(context) {
    const devices = parseLsblk(await context.observe('block-devices'));
    const disks = devices.filter(({ type, size }) => type === 'disk' && size > 0);
    return {
      findings: [],
      facts: {
        disks: disks.slice(0, 32).map(({ name, size, model }) => ({
          name: name.slice(0, 64),
          bytes: size,
          model: (model ?? '').trim().slice(0, 200),
        })),
      },
    };
  },
};
