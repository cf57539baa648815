import { isIP } from 'node:net';
import { z } from 'zod';
import { absolutePath } from './absolute-path.ts';
import type { ActionDeclaration } from './declaration.ts';
import { confirmWithinSeconds } from './job.ts';

const text = (most: number) => z.string().max(most);

/** An address, or a network with the length of its prefix, in the only way that nobody reads as more. */
const network = z.string().refine((value) => {
  const [address = '', length, ...more] = value.split('/');
  const version = isIP(address);
  if (version === 0 || more.length > 0) return false;
  return (
    length === undefined ||
    (/^(?:[1-9]\d?\d?|0)$/.test(length) && Number(length) <= (version === 4 ? 32 : 128))
  );
}, 'is no address and no network, such as 192.0.2.7 or 2001:db8::/32');

const address = z.string().refine((value) => isIP(value) > 0, 'is no address, such as 192.0.2.7');

export const firewallRecoverParameters = z.strictObject({
  source: network
    .optional()
    .describe('who is to get in, such as 192.0.2.7 or 192.0.2.0/24; everybody when left out'),
  unban: address.optional().describe('an address of which bans by fail2ban are lifted'),
  confirmWithinSeconds,
  backupDirectory: absolutePath
    .optional()
    .describe('where the old files are kept; in a rescue system a folder on a durable disk'),
});

export const firewallRecoverResult = z.strictObject({
  outcome: z.enum(['opened', 'nothing_to_do', 'rolled_back', 'restored']),
  ports: z.array(z.int().min(1).max(65_535)).max(16),
  source: text(64).nullable(),
  /** What was let in where: rules that hold now, as a person would type them. */
  rules: z.array(text(1000)).max(64),
  /** Files that the job has changed, by path. */
  files: z.array(text(4096)).max(64),
  detail: text(2000),
});
export type FirewallRecoverResult = z.output<typeof firewallRecoverResult>;

export const firewallRecover: ActionDeclaration = {
  id: 'firewall.recover',
  version: 1,
  title: 'Open the way in for repairs',
  sentence:
    "Let SSH through your server's firewall where it is shut out, and nothing else. The firewall stays on; the change takes itself back unless it is confirmed.",
  class: 'B',
  planClass: 'A',
  plans: true,
  changes: true,
  undo: 'yes',
  parameters: firewallRecoverParameters,
  result: firewallRecoverResult,
  bringsIn: ['source', 'unban'],
  sealedInputs: [],
  interrupt: 'rollback',
  usualDuration: 'seconds, and the time until it is confirmed',
  capabilities: ['host', 'network'],
  offline: { capabilities: ['disks'] },
  guarded: true,
};
