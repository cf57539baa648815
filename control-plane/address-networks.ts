import { isIPv6, SocketAddress } from 'node:net';

/** Whom an address is counted with. */
export interface Network {
  /** Names it; the same for every spelling of an address. */
  key: string;
  /** How many times what one customer may is allowed to all of it. */
  share: number;
}

/** A site of that size holds 65,536 networks of customers, or is one customer's. */
const SITE_SHARE = 16;

/**
 * The networks of which each has to have room for an address. One customer has a whole /64 of IPv6 and may use
 * any address of it, and often a /48 (RFC 6177), so that both are counted; of IPv4 it is the address alone.
 *
 * @param address of IPv4 or IPv6, in any spelling; whatever else it may be stands for itself
 */
export function networksOf(address: string): Network[] {
  const plain = address.replace(/%.*$/, '');
  if (!isIPv6(plain)) return [{ key: address, share: 1 }];
  const normal = new SocketAddress({ address: plain, family: 'ipv6' }).address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(normal)?.[1];
  if (mapped !== undefined) return [{ key: mapped, share: 1 }];
  const groups = groupsOf(normal);
  return [
    { key: `${groups.slice(0, 4).join(':')}::/64`, share: 1 },
    { key: `${groups.slice(0, 3).join(':')}::/48`, share: SITE_SHARE },
  ];
}

/** The first six of an address's eight groups; what may be written as IPv4 comes after them. */
function groupsOf(address: string): string[] {
  const [head = '', tail] = address.split('::');
  const groups = head.split(':').filter(Boolean);
  if (tail === undefined) return groups.slice(0, 6);
  const rest = tail.split(':').filter(Boolean);
  const width = rest.length + (rest.at(-1)?.includes('.') === true ? 1 : 0);
  const zeros = Array<string>(8 - groups.length - width).fill('0');
  return [...groups, ...zeros, ...rest].slice(0, 6);
}
