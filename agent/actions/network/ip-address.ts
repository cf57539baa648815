import { BlockList, isIP, isIPv4 } from 'node:net';

/** An address with the length of its network's prefix. */
export interface InterfaceAddress {
  address: string;
  prefix: number;
}

/** `192.0.2.7/24`; null for anything else. */
export function parseInterfaceAddress(text: string): InterfaceAddress | null {
  const [address = '', length = '', ...more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0 || !/^\d{1,3}$/.test(length)) return null;
  const prefix = Number(length);
  return prefix <= (version === 4 ? 32 : 128) ? { address, prefix } : null;
}

/** The length that a mask such as 255.255.255.0, or its length itself, stands for; null for what is none. */
export function prefixOfMask(mask: string): number | null {
  if (/^\d{1,3}$/.test(mask)) return Number(mask) <= 128 ? Number(mask) : null;
  if (!isIPv4(mask)) return null;
  const bits = mask
    .split('.')
    .map((part) => Number(part).toString(2).padStart(8, '0'))
    .join('');
  return /^1*0*$/.test(bits) ? bits.replace(/0+$/, '').length : null;
}

export function maskOfPrefix(prefix: number): string {
  const bits = '1'.repeat(prefix).padEnd(32, '0');
  return [0, 8, 16, 24].map((at) => parseInt(bits.slice(at, at + 8), 2)).join('.');
}

/** Whether a gateway can be reached from an address without another gateway. */
export function isInNetwork(gateway: string, { address, prefix }: InterfaceAddress): boolean {
  const version = isIP(address);
  if (isIP(gateway) !== version || version === 0) return false;
  // Every link has those of IPv6.
  if (version === 6 && /^fe[89ab]/i.test(gateway)) return true;
  const type = version === 4 ? 'ipv4' : 'ipv6';
  const network = new BlockList();
  network.addSubnet(address, prefix, type);
  return network.check(gateway, type);
}
