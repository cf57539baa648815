import { DocumentError } from '../../proto/documents/document.ts';
import type { ActionClass, Identity } from '../../proto/documents/fields.ts';
import type { Order } from '../../proto/documents/kinds/order.ts';
import type { TrustState } from './trust-state.ts';

/**
 * Refuses an order that expects another machine. Fields it leaves out expect nothing. Of a system found on
 * disks, host name and machine id are that system's: whoever opens it compares them.
 */
export function requireExpectedMachine(order: Order, { facts }: TrustState): void {
  const { serial, macAddresses } = order.expect;
  const expected = order.target === null ? order.expect : { serial, macAddresses };
  const mismatch = findMismatch(expected, facts);
  if (mismatch !== undefined) {
    throw new DocumentError('identity_mismatch', `this machine has another ${mismatch}`);
  }
}

/**
 * A rescue environment boots on whatever machine asked for it. Until an engineer has confirmed which one
 * that is, and says so in the order, nothing on it is changed.
 */
export function requireIdentified(order: Order, actionClass: ActionClass, state: TrustState): void {
  if (state.self.mode !== 'rescue' || actionClass === 'A') return;
  const { serial, macAddresses, ...ofSystem } = order.expect;
  // Host name and machine id are those of the system on the disks, and not every action opens it.
  const needed = { serial, macAddresses, ...(order.target === null ? ofSystem : {}) };
  if (Object.values(needed).some((value) => value !== undefined && value.length > 0)) return;
  throw new DocumentError(
    'unidentified',
    order.target === null
      ? 'in rescue, an order that changes something must say which machine it expects'
      : 'in rescue, an order that changes a disk must expect the serial number or a network address (MAC) of its machine',
  );
}

function findMismatch(expected: Identity, facts: Identity): string | undefined {
  if (differs(expected.serial, facts.serial)) return 'serial number';
  if (differs(expected.machineId, facts.machineId)) return 'machine id';
  if (differs(expected.hostname, facts.hostname)) return 'host name';
  const present = new Set(facts.macAddresses?.map((address) => address.toLowerCase()));
  const isMissing = (address: string) => !present.has(address.toLowerCase());
  return expected.macAddresses?.some(isMissing) ? 'network address (MAC)' : undefined;
}

function differs(expected: string | undefined, actual: string | undefined): boolean {
  return expected !== undefined && expected !== actual;
}
