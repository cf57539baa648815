import type { Bus, BusTopics } from './bus.ts';

export interface Waker {
  /**
   * Resolves with true when something was published since `prepare`, at once if it already was; with false
   * after `timeoutMs`, or when `signal` is aborted.
   */
  wait(timeoutMs: number, signal?: AbortSignal): Promise<boolean>;
  /** Whoever is about to look at the truth calls this first: what is published from now on wakes. */
  prepare(): void;
  close(): void;
}

/** Waits for ids on a bus without missing one that is published between looking and waiting. */
export function createWaker(
  bus: Bus,
  topics: readonly { topic: keyof BusTopics; id: string }[],
): Waker {
  let isWoken = false;
  let wake: (() => void) | undefined;
  const listener = () => {
    isWoken = true;
    wake?.();
  };
  const unsubscribe = topics.map(({ topic, id }) => bus.subscribe(topic, id, listener));
  return {
    prepare: () => {
      isWoken = false;
    },
    wait: async (timeoutMs, signal) => {
      if (isWoken || signal?.aborted) return isWoken;
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = setTimeout(resolve, timeoutMs);
      wake = resolve;
      const onAbort = () => resolve();
      signal?.addEventListener('abort', onAbort, { once: true });
      await promise;
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
      wake = undefined;
      return isWoken;
    },
    close: () => {
      for (const stop of unsubscribe) stop();
    },
  };
}
