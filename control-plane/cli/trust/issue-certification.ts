import { signDocument } from '../../../proto/documents/document.ts';
import {
  ENGINEER_DEFAULT_SECONDS,
  ENGINEER_MAX_SECONDS,
  LEAD_MAX_SECONDS,
} from '../../../proto/documents/kinds/certification.ts';
import type { PublicKey, Signer } from '../../../proto/documents/keys.ts';
import { usageError } from '../cli-error.ts';
import { parseDuration } from '../output/time-text.ts';

/** Clocks of two machines differ; a document begins this much before it was signed. */
const SKEW_SECONDS = 60;

export interface Certified {
  person: string;
  name: string;
  keys: PublicKey[];
}

/** Signs a lead document, valid as long as one may be. `signer` is a root key. */
export function issueLead(who: Certified, signer: Signer, nowSeconds: number): Uint8Array {
  const notBefore = nowSeconds - SKEW_SECONDS;
  return signDocument('lead', { ...who, notBefore, expiresAt: notBefore + LEAD_MAX_SECONDS }, [
    signer,
  ]);
}

/** Signs an engineer document. `signer` is a lead's key, or a root key. */
export function issueEngineer(
  who: Certified,
  signer: Signer,
  nowSeconds: number,
  validSeconds: number,
): Uint8Array {
  const notBefore = nowSeconds - SKEW_SECONDS;
  const expiresAt = Math.min(nowSeconds + validSeconds, notBefore + ENGINEER_MAX_SECONDS);
  return signDocument('engineer', { ...who, notBefore, expiresAt }, [signer]);
}

/** How long an engineer document shall hold: `--for`, 12 hours without it, 7 days at most. */
export function validSecondsOf(text: string | undefined): number {
  if (text === undefined) return ENGINEER_DEFAULT_SECONDS;
  const seconds = parseDuration(text);
  if (seconds === null || seconds > ENGINEER_MAX_SECONDS) {
    throw usageError(`--for ${text}: a time such as 12h or 3d, 7d at most.`);
  }
  return seconds;
}
