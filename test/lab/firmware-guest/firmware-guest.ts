import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { runAgentGuest, type Told } from '../agent-guest/agent-guest.ts';
import { FaultDisk } from '../fault-disk.ts';
import { emptyVariables, VirtualMachine } from '../virtual-machine.ts';

const WITHIN_MS = 35 * 60_000;
const STARTED = /BdsDxe: starting Boot[0-9A-F]{4} "[^"]*" from [^\n]*/;

export interface FirmwareGuest {
  told: Told[];
  /** What the firmware then starts by itself, in its own words. */
  started: string;
}

/**
 * Runs `inside.ts` in a machine whose firmware remembers nothing, beside a disk that only an entry of it could
 * start; then starts that disk by the same firmware.
 */
export async function runFirmwareGuest(): Promise<FirmwareGuest> {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-firmware-'));
  const disk = await FaultDisk.copy('uefi');
  let machine: VirtualMachine | undefined;
  try {
    const variables = path.join(folder, 'vars.fd');
    emptyVariables(variables);
    const firmware = 'uefi';
    const told = await runAgentGuest({
      program: 'test/lab/firmware-guest/inside.ts',
      modules: ['loop', 'efivarfs'],
      disks: [disk.image],
      withinMs: WITHIN_MS,
      ...{ firmware, variables },
    });
    machine = await VirtualMachine.start({ firmware, variables, disks: [disk.image] });
    return { told, started: await machine.shows(STARTED) };
  } finally {
    await machine?.end();
    disk.close();
    rmSync(folder, { recursive: true, force: true });
  }
}
