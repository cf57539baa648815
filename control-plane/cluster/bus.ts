import { EventEmitter } from 'node:events';

/** What parts of the control plane tell each other. Only ids travel: the truth is in the database. */
export interface BusTopics {
  /** A job was queued, or its cancelling was asked for: its agent's session looks. */
  agent: string;
  /** A job changed state, got an event or progress. */
  job: string;
  /** A job reached a final state. */
  end: string;
  /** The log of a job grew. */
  log: string;
  /** Grants or keys of an account were revoked, or documents changed. */
  account: string;
}

/**
 * Wakes whoever waits for an id. A wake-up may be lost; every waiter also looks by itself now and then.
 */
export interface Bus {
  publish(topic: keyof BusTopics, id: string): void;
  subscribe(topic: keyof BusTopics, id: string, listener: () => void): () => void;
}

/** The bus of a control plane that runs as one process. */
export function createLocalBus(): Bus {
  const emitter = new EventEmitter();
  emitter.setMaxListeners(0);
  return {
    publish: (topic, id) => void emitter.emit(`${topic}:${id}`),
    subscribe: (topic, id, listener) => {
      emitter.on(`${topic}:${id}`, listener);
      return () => void emitter.off(`${topic}:${id}`, listener);
    },
  };
}
