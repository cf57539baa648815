import { readdirSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseEnv } from 'node:util';
import type { Identity } from '../proto/documents/fields.ts';
import type { Facts } from './connection/courier.ts';
import { AGENT_VERSION } from './version.ts';

const NO_MAC = '00:00:00:00:00:00';

/**
 * What can be said of this machine. Each part stands alone: what cannot be read is empty.
 *
 * @param root where the system's own files are looked up
 */
export function collectFacts(root = '/'): Facts {
  return {
    hostname: os.hostname().slice(0, 255),
    machineId: readLine(root, 'etc/machine-id').slice(0, 64),
    serial: readLine(root, 'sys/class/dmi/id/product_serial').slice(0, 200),
    macAddresses: readMacAddresses(root),
    os: readOsName(root),
    kernel: os.release(),
    agentVersion: AGENT_VERSION,
    addresses: readAddresses(),
  };
}

/** The part of the facts that orders may name as `expect`. */
export function identityOf(facts: Facts): Identity {
  return {
    ...(facts.serial !== '' && { serial: facts.serial }),
    macAddresses: facts.macAddresses,
    ...(facts.machineId !== '' && { machineId: facts.machineId }),
    hostname: facts.hostname,
  };
}

/** Changes with every boot of the kernel; empty where the kernel does not say. */
export function readBootId(root = '/'): string {
  return readLine(root, 'proc/sys/kernel/random/boot_id');
}

function readMacAddresses(root: string): string[] {
  const folder = path.join(root, 'sys/class/net');
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const addresses = names.map((name) => readLine(folder, `${name}/address`).toLowerCase());
  const real = addresses.filter((address) => /^[0-9a-f:]{17}$/.test(address) && address !== NO_MAC);
  return [...new Set(real)].toSorted().slice(0, 64);
}

function readOsName(root: string): string {
  try {
    const text = readFileSync(path.join(root, 'etc/os-release'), 'utf8');
    return (parseEnv(text)['PRETTY_NAME'] ?? '').slice(0, 200);
  } catch {
    return '';
  }
}

function readAddresses(): string[] {
  return Object.values(os.networkInterfaces())
    .flat()
    .filter((entry) => entry !== undefined && !entry.internal)
    .map((entry) => entry!.address)
    .slice(0, 64);
}

function readLine(root: string, file: string): string {
  try {
    return readFileSync(path.join(root, file), 'utf8').split('\n', 1)[0]!.trim();
  } catch {
    return '';
  }
}
