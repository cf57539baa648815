import { sessionKey } from '../../proto/documents/fields.ts';
import {
  deriveSessionKeys,
  generateSessionKey,
  joinSessionKeys,
  WeakSessionKeyError,
} from '../../proto/terminal/session-keys.ts';
import type { VerifiedOrder } from './verify-delivery.ts';

export interface Session {
  /** The agent's half, for the receipt. */
  public: string;
  /** What frames are sealed with, for the runner. The private half is forgotten here. */
  keys: Buffer;
}

/** Makes the keys of the session that an order opens; null for an action that is not interactive. */
export function openSession(verified: VerifiedOrder): Session | 'weak' | null {
  const { order, orderDigest, action, parameters } = verified;
  if (action.interactive !== true) return null;
  const engineer = sessionKey.parse(parameters['sessionKey']);
  const own = generateSessionKey();
  try {
    const subject = { job: order.job, order: orderDigest, engineer, agent: own.public };
    const keys = deriveSessionKeys(own.privateKey, engineer, subject);
    return { public: own.public, keys: joinSessionKeys(keys) };
  } catch (error) {
    if (!(error instanceof WeakSessionKeyError)) throw error;
    return 'weak';
  }
}
