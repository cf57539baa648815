import { isIP, isIPv4 } from 'node:net';
import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';
import { fileRepairResult } from './file-repair-result.ts';
import { confirmWithinSeconds } from './job.ts';

const address = z.string().refine((value) => isIP(value) > 0, 'is no address, such as 192.0.2.7');

/** An address of an interface with the length of its network's prefix, and no other way to write it. */
const interfaceAddress = z.string().refine((value) => {
  const [own = '', length = '', ...more] = value.split('/');
  if (isIP(own) === 0 || more.length > 0 || !/^[1-9]\d{0,2}$/.test(length)) return false;
  return Number(length) <= (isIPv4(own) ? 32 : 128);
}, 'is no address with its prefix, such as 192.0.2.7/24');

const managers = ['ifupdown', 'systemd-networkd', 'NetworkManager'] as const;
/** What sets a network up at boot. */
export type NetworkManagerName = (typeof managers)[number];

export const networkRecoverParameters = z.strictObject({
  interface: z
    .string()
    .regex(/^[A-Za-z][A-Za-z0-9_-]{0,14}$/, 'is no name of an interface, such as ens3')
    .optional()
    .describe('the interface that is meant, as the system itself calls it, such as ens3'),
  address: interfaceAddress
    .optional()
    .describe('the address that it must have, such as 192.0.2.7/24; never guessed'),
  gateway: address.optional().describe('the gateway to everybody else; never guessed'),
  nameservers: z
    .array(address)
    .min(1)
    .max(3)
    .optional()
    .describe('addresses of name servers, such as ["192.0.2.53"]'),
  manager: z
    .enum(managers)
    .optional()
    .describe('whose the interface is where several set it up, or none that could; never guessed'),
  confirmWithinSeconds,
  backupDirectory: absolutePath
    .optional()
    .describe('where the old files are kept; in a rescue system a folder on a durable disk'),
});
export const networkRecoverResult = fileRepairResult.extend({
  /** What was made to hold now, as a person would type it. */
  commands: z.array(z.string().max(1000)).max(16),
});
export type NetworkRecoverResult = z.output<typeof networkRecoverResult>;

export type NetworkRecoverParameters = z.output<typeof networkRecoverParameters>;

export const networkRecover: ActionDeclaration = {
  id: 'network.recover',
  version: 1,
  title: 'Repair the network configuration',
  sentence:
    'Correct what keeps your server from its network: names of interfaces, misspelt words, addresses that you name, services that are off, name servers. The old files are kept; a change of what holds now takes itself back unless it is confirmed.',
  class: 'B',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: networkRecoverParameters,
  result: networkRecoverResult,
  bringsIn: ['address', 'gateway', 'nameservers'],
  sealedInputs: [],
  interrupt: 'rollback',
  usualDuration: 'seconds, and the time until it is confirmed',
  capabilities: ['host', 'network'],
  offline: { capabilities: ['disks'] },
  guarded: true,
};
