import { isDeepStrictEqual } from 'node:util';
import { findAction } from '../../../proto/actions/catalogue.ts';
import { worksOn, type ActionDeclaration } from '../../../proto/actions/declaration.ts';
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
 * server's word: it counts only as far as this program's catalogue has the action for such a target, with a
 * plan, and takes the parameters.
 */
export function proposeRepairs(findings: readonly Finding[], target: Order['target']): Proposal[] {
  const proposals: Proposal[] = [];
  for (const finding of findings) {
    const { suggestion } = finding;
    const action = suggestion === null ? undefined : findAction(suggestion.action);
    if (suggestion === null || action === undefined || !action.plans) continue;
    if (!worksOn(action, target)) continue;
    const parsed = action.parameters.safeParse(suggestion.parameters);
    if (!parsed.success) continue;
    addTo(proposals, { action, parameters: parsed.data as Parameters, findings: [finding] });
  }
  const rank = ({ action }: Proposal) => {
    const at = ORDER.indexOf(action.id);
    return at < 0 ? ORDER.length : at;
  };
  return proposals.toSorted((a, b) => rank(a) - rank(b));
}

function addTo(proposals: Proposal[], proposal: Proposal): void {
  for (const known of proposals.filter(({ action }) => action.id === proposal.action.id)) {
    const parameters = joined(known.action, known.parameters, proposal.parameters);
    if (parameters === null) continue;
    known.parameters = parameters;
    known.findings.push(...proposal.findings);
    return;
  }
  proposals.push(proposal);
}

/**
 * Parameters for one repair in the place of two. Lists of what a repair may bring in are united, since one
 * that is missing allows nothing; all else must be the same, since there it may mean everything. Null where it
 * is not.
 */
function joined(action: ActionDeclaration, one: Parameters, other: Parameters): Parameters | null {
  const both = { ...one, ...other };
  for (const name of Object.keys(both)) {
    const [mine = [], its = []] = [one[name], other[name]];
    if (action.bringsIn.includes(name) && Array.isArray(mine) && Array.isArray(its)) {
      both[name] = [...new Set([...mine, ...its])];
    } else if (!isDeepStrictEqual(one[name], other[name])) return null;
  }
  return action.parameters.safeParse(both).success ? both : null;
}
