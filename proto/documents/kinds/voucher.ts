import { z } from 'zod';
import { digest, nonce, timestamp, uuid } from '../fields.ts';

/**
 * Trust for one rescue boot of one server, signed by a provisioning key in the operator's CLI; its
 * digest stands on the kernel command line.
 */
export const voucherSchema = z
  .strictObject({
    server: uuid,
    account: uuid,
    /** Null when the client has no keys: only attestations are accepted then. */
    accountKeys: digest.nullable(),
    operatorRoot: digest,
    controlPlaneCa: digest,
    nonce,
    issuedAt: timestamp,
    expiresAt: timestamp,
  })
  .refine((voucher) => voucher.expiresAt > voucher.issuedAt, 'ends before it begins');
