import { networksOf } from '../address-networks.ts';

/** How many connections there may be at once. */
export interface ConnectionLimits {
  /** In all. */
  total: number;
  /** Per address, whose handshake is not done. */
  handshakesPerAddress: number;
  /** Per address, without a certificate: servers that enrol. */
  anonymousPerAddress: number;
  /** Per address, in all. Many agents may share one behind NAT. */
  perAddress: number;
}

export const defaultConnectionLimits: ConnectionLimits = {
  total: 20_000,
  handshakesPerAddress: 4_096,
  anonymousPerAddress: 64,
  perAddress: 16_384,
};

/** Counts by address, or the networks it belongs to; holds nothing for those that have none. */
export class AddressCounts {
  private readonly counts = new Map<string, number>();
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Counts one in and returns how to count it out (once; later calls do nothing), or null when full. */
  enter(address: string): (() => void) | null {
    const networks = networksOf(address);
    const countOf = (key: string) => this.counts.get(key) ?? 0;
    if (networks.some(({ key, share }) => countOf(key) >= this.limit * share)) return null;
    for (const { key } of networks) this.counts.set(key, countOf(key) + 1);
    let isIn = true;
    return () => {
      if (!isIn) return;
      isIn = false;
      for (const { key } of networks) {
        const left = countOf(key) - 1;
        if (left > 0) this.counts.set(key, left);
        else this.counts.delete(key);
      }
    };
  }
}
