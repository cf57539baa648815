import { isDeepStrictEqual } from 'node:util';
import { findAction } from '../../../proto/actions/catalogue.ts';
import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import type { Finding } from '../../../proto/actions/diagnostics.ts';
import type { Order } from '../../../proto/documents/kinds/order.ts';
import type { Parameters } from '../orders/parameters.ts';

/** One repair that findings suggest, with those it is for. */
export interface Proposal {
  action: ActionDeclaration;
  parameters: Parameters;
  findings: Finding[];
}

/**
 * What has to hold before the next: files cannot be trusted on a damaged file system, programs not on a
 * full one or with broken packages, and a boot loader's configuration is made from all the others.
 */
const ORDER = [
  'filesystem.repair',
  'filesystem.reclaim',
  'boot.repair-fstab',
  'packages.repair',
  'access.repair-accounts',
  'access.reset-password',
  'access.restore-ssh',
  'service.override',
  'service.configure',
  'service.restore-configuration',
  'network.recover',
  'firewall.recover',
  'service.restart',
  'bootloader.repair',
];

/**
 * The repairs that findings suggest, each once, in the order they depend on each other. A suggestion is the
 * server's word: it counts only as far as this program's catalogue has the action, with a plan, and takes
 * the parameters.
 */
export function proposeRepairs(findings: readonly Finding[], target: Order['target']): Proposal[] {
  const proposals: Proposal[] = [];
  for (const finding of findings) {
    const { suggestion } = finding;
    const action = suggestion === null ? undefined : findAction(suggestion.action);
    if (suggestion === null || action === undefined || !action.plans) continue;
    if (target !== null && action.offline === undefined) continue;
    const parsed = action.parameters.safeParse(suggestion.parameters);
    if (!parsed.success) continue;
    const parameters = parsed.data as Parameters;
    const known = proposals.find(
      (other) => other.action.id === action.id && isDeepStrictEqual(other.parameters, parameters),
    );
    if (known === undefined) proposals.push({ action, parameters, findings: [finding] });
    else known.findings.push(finding);
  }
  const rank = ({ action }: Proposal) => {
    const at = ORDER.indexOf(action.id);
    return at < 0 ? ORDER.length : at;
  };
  return proposals.toSorted((a, b) => rank(a) - rank(b));
}
