import { isIP } from 'node:net';
import type { z } from 'zod';
import { firewallRecoverParameters } from '../../../proto/actions/firewall.ts';
import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import type { ChangeStep } from '../files/change-steps.ts';
import { bannedOpenings } from './fail2ban.ts';
import { fail2banDatabaseRepairs } from './fail2ban-database.ts';
import type { FileRepairs, Look } from './file-repair.ts';
import { firewalldRepairs } from './firewalld-zones.ts';
import { hostsAccessRepairs } from './hosts-access.ts';
import { iptablesFileRepairs } from './iptables-files.ts';
import type { LiveOpening } from './live-opening.ts';
import { liveBarriers, readLiveRules } from './live-rules.ts';
import { nftFileRepairs } from './nft-file.ts';
import { managementPorts } from './management-ports.ts';
import { ufwFileRepairs } from './ufw-files.ts';

export type RecoverParameters = z.output<typeof firewallRecoverParameters>;

/** Everything that keeps SSH out, and what lets it in. */
export interface Recovery {
  parameters: RecoverParameters;
  ports: number[];
  packets: Packet[];
  /** In rules that hold now. */
  openings: LiveOpening[];
  /** What takes the rules of files away once a boot has made them hold. */
  removals: string[][];
  /** What decides there, as the firewall shows it. */
  barriers: string[];
  steps: ChangeStep[];
  findings: string[];
}

/** In the order in which a packet meets them. */
const FILE_REPAIRS: readonly ((look: Look) => Promise<FileRepairs>)[] = [
  nftFileRepairs,
  iptablesFileRepairs,
  ufwFileRepairs,
  firewalldRepairs,
  hostsAccessRepairs,
  fail2banDatabaseRepairs,
];

/** Looks; changes nothing. */
export async function findRecovery(context: ActionContext, target: Target): Promise<Recovery> {
  const parameters = firewallRecoverParameters.parse(context.spec.parameters);
  const ports = await managementPorts(context, target);
  const packets = packetsFrom(ports, parameters.source);
  const recovery: Recovery = {
    parameters,
    ports,
    packets,
    openings: [],
    removals: [],
    barriers: [],
    steps: [],
    findings: [],
  };
  if (target.kind === 'live') await addLive(context, target, recovery);
  for (const repairs of FILE_REPAIRS) {
    const { steps, findings, removals } = await repairs({
      context,
      target,
      packets,
      unban: parameters.unban,
    });
    recovery.steps.push(...steps);
    recovery.findings.push(...findings);
    recovery.removals.push(...removals);
  }
  return recovery;
}

async function addLive(
  context: ActionContext,
  { files }: Target,
  recovery: Recovery,
): Promise<void> {
  const { openings, barriers, parameters, packets } = recovery;
  const rules = await readLiveRules(context, files);
  const seen = new Set<string>();
  for (const barrier of packets.flatMap((packet) => liveBarriers(rules, packet))) {
    const { text, chain, index, packet } = barrier;
    for (const opening of barrier.openings) {
      // A chain of both versions is met by both.
      const place = JSON.stringify([opening.remove.slice(0, -1), chain, index, packet.port]);
      if (seen.has(place)) continue;
      seen.add(place);
      openings.push(opening);
    }
    if (!barriers.includes(text)) barriers.push(text);
  }
  if (parameters.unban !== undefined) {
    openings.push(...(await bannedOpenings(context, parameters.unban)));
  }
}

function packetsFrom(ports: readonly number[], source: string | undefined): Packet[] {
  const own = source === undefined ? 0 : isIP(source.split('/', 1)[0]!);
  const versions = own === 0 ? ([4, 6] as const) : [own as 4 | 6];
  return versions.flatMap((version) =>
    ports.map((port) => ({ port, version, source: source ?? null })),
  );
}
