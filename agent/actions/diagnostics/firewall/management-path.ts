import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe, type ProbeContext } from '../probe.ts';
import { sshPorts } from '../ssh/sshd-settings.ts';
import { iptablesChains } from './iptables-save.ts';
import { nftBases } from './nft-ruleset.ts';
import { followPacket, type Packet, type Passage } from './packet-path.ts';

const SUGGESTED = 'firewall.recover';

interface Barrier extends Passage {
  command: string;
}

/** Whether a new SSH connection from outside gets through the rules that hold now. */
export const managementPath: Probe = {
  id: 'firewall.management-path',
  area: 'firewall',
  offline: true,
  limitMs: 4_200,
  async look(context) {
    const ports = await portsToOpen(context);
    const findings: NewFinding[] = [];
    for (const port of ports) {
      const worst = worstOf(await barriers(context, port));
      if (worst === null || worst.outcome === 'open') continue;
      const isBlocked = worst.outcome === 'blocked';
      findings.push({
        rule: isBlocked ? 'fw.blocks_mgmt' : 'fw.restricts_mgmt',
        severity: isBlocked ? 'critical' : 'notice',
        subject: `port ${port}`,
        title: isBlocked
          ? `The firewall lets no SSH connection in (port ${port})`
          : `The firewall lets only some SSH connections in (port ${port})`,
        evidence: [commandEvidence(worst.command, worst.text)],
        suggestion: isBlocked ? { action: SUGGESTED, parameters: {} } : null,
        byHand: isBlocked
          ? `Put a rule in front that accepts TCP port ${port}; do not switch the firewall off.`
          : 'Make sure that the addresses of those who work here are among them.',
      });
    }
    return { findings };
  },
};

/** Those of sshd; where it cannot be asked, its usual one. */
export function portsToOpen(context: ProbeContext): Promise<number[]> {
  return sshPorts(context).catch((error: unknown) => {
    if (error instanceof NotApplicable) return [22];
    throw error;
  });
}

async function barriers(context: ProbeContext, port: number): Promise<Barrier[]> {
  const seen: Barrier[] = [];
  const nft = await context.observe('nft').catch(passOver);
  if (nft !== null && nft.exitStatus === 0) {
    for (const { chains, name } of nftBases(nft.out, packetTo(port))) {
      seen.push({ ...followPacket(chains, name), command: nft.command });
    }
  }
  const iptables = await context.observe('iptables').catch(passOver);
  if (iptables !== null && iptables.exitStatus === 0) {
    const chains = iptablesChains(iptables.out, packetTo(port));
    seen.push({ ...followPacket(chains, 'INPUT'), command: iptables.command });
  }
  return seen;
}

/** Over IPv4, from anywhere. */
function packetTo(port: number): Packet {
  return { port, version: 4, source: null };
}

/** A server without one kind of rules has perhaps the other. */
function passOver(error: unknown): null {
  if (error instanceof NotApplicable) return null;
  throw error;
}

function worstOf(all: readonly Barrier[]): Barrier | null {
  return (
    all.find(({ outcome }) => outcome === 'blocked') ??
    all.find(({ outcome }) => outcome === 'some') ??
    all[0] ??
    null
  );
}
