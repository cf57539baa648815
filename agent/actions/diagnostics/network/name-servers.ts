import { fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';

const FILE = '/etc/resolv.conf';

/** Whether the server knows whom to ask for names. Nobody is asked. */
export const nameServers: Probe = {
  id: 'network.name-servers',
  area: 'network',
  limitMs: 1_000,
  async look({ files }) {
    const text = await files.read(FILE);
    const link = await files.readLink(FILE);
    const servers = [...(text ?? '').matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(
      ([, name]) => name!,
    );
    const facts = { nameServers: servers.slice(0, 16).map((name) => name.slice(0, 100)) };
    if (servers.length > 0) return { findings: [], facts };
    const why =
      text !== null
        ? 'names no server'
        : link === null
          ? 'is missing'
          : `leads to ${link}, which is not there`;
    const finding: NewFinding = {
      rule: 'net.dns',
      severity: 'warning',
      subject: FILE,
      title: `The server cannot resolve names: ${FILE} ${why}`,
      evidence: [fileEvidence(FILE, null, text ?? (link === null ? 'not there' : `-> ${link}`))],
      suggestion: { action: 'network.recover', parameters: {} },
      byHand: `Write the provider's name servers into ${FILE}, or start the service that keeps it.`,
    };
    return { findings: [finding], facts };
  },
};
