import { networksOf } from './address-networks.ts';
import type { Network } from './address-networks.ts';
import { DomainError } from './domain-error.ts';

export interface RateLimitOptions {
  /** Attempts at once. */
  burst: number;
  perMinute: number;
  /** Networks remembered; the one unseen for longest makes room. */
  remembered?: number;
  /** Monotonic milliseconds. */
  now?: () => number;
}

/** Token buckets per address, or the networks it belongs to, in bounded memory. */
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
  const { burst, perMinute, remembered = 10_000, now = () => performance.now() } = options;
  const buckets = new Map<string, { left: number; at: number }>();

  const leftOf = ({ key, share }: Network): number => {
    const bucket = buckets.get(key);
    if (bucket === undefined) return burst * share;
    const returned = ((now() - bucket.at) / 60_000) * perMinute * share;
    return Math.min(burst * share, bucket.left + returned);
  };

  const waitOf = (network: Network): number =>
    (Math.max(0, 1 - leftOf(network)) * 60) / (perMinute * network.share);

  return {
    allows: (address) => networksOf(address).every((network) => leftOf(network) >= 1),
    waitSeconds: (address) => Math.ceil(Math.max(...networksOf(address).map(waitOf))),
    count: (address) => {
      for (const network of networksOf(address)) {
        const left = Math.max(0, leftOf(network) - 1);
        buckets.delete(network.key);
        buckets.set(network.key, { left, at: now() });
        if (buckets.size > remembered) buckets.delete(buckets.keys().next().value!);
      }
    },
  };
}
