import { isIPv6 } from 'node:net';
import { DomainError } from './domain-error.ts';

export interface RateLimitOptions {
  /** Attempts at once. */
  burst: number;
  perMinute: number;
  /** Addresses remembered; the one unseen for longest makes room. */
  addresses?: number;
  /** Monotonic milliseconds. */
  now?: () => number;
}

/** Token buckets per address, in bounded memory. */
export interface RateLimit {
  /** Whether the address has an attempt left; nothing is counted. */
  allows(address: string): boolean;
  count(address: string): void;
  /** Until the next attempt is allowed, rounded up; 0 when one is now. */
  waitSeconds(address: string): number;
}

/** Counts an attempt of an account, or throws DomainError `too_many_requests` with the time to wait. */
export function takeTurn(limit: RateLimit, account: string, what: string): void {
  if (limit.allows(account)) {
    limit.count(account);
    return;
  }
  const seconds = limit.waitSeconds(account);
  throw new DomainError(
    'too_many',
    'too_many_requests',
    `Too many ${what} were asked for at once; the next one is possible in ${seconds} s.`,
    { retryAfterSeconds: seconds },
  );
}

export function createRateLimit(options: RateLimitOptions): RateLimit {
  const { burst, perMinute, addresses = 10_000, now = () => performance.now() } = options;
  const buckets = new Map<string, { left: number; at: number }>();

  const leftOf = (key: string): number => {
    const bucket = buckets.get(key);
    if (bucket === undefined) return burst;
    return Math.min(burst, bucket.left + ((now() - bucket.at) / 60_000) * perMinute);
  };

  return {
    allows: (address) => leftOf(networkOf(address)) >= 1,
    waitSeconds: (address) =>
      Math.ceil((Math.max(0, 1 - leftOf(networkOf(address))) * 60) / perMinute),
    count: (address) => {
      const key = networkOf(address);
      const left = Math.max(0, leftOf(key) - 1);
      buckets.delete(key);
      buckets.set(key, { left, at: now() });
      if (buckets.size > addresses) buckets.delete(buckets.keys().next().value!);
    },
  };
}

/** One IPv6 customer has a /64 at least, and may use any address of it. */
function networkOf(address: string): string {
  if (!isIPv6(address) || address.startsWith('::ffff:')) return address;
  const [head = '', tail = ''] = address.split('::');
  const groups = head.split(':').filter(Boolean);
  const rest = tail.split(':').filter(Boolean);
  const zeros = address.includes('::') ? 8 - groups.length - rest.length : 0;
  const all = [...groups, ...Array<string>(zeros).fill('0'), ...rest];
  return all
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16))
    .join(':');
}
