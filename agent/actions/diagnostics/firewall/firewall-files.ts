import { bannedAddresses } from '../../firewall/fail2ban-database.ts';
import type { FileRepairs, FilesLook } from '../../firewall/file-repair.ts';
import { firewalldRepairs } from '../../firewall/firewalld-zones.ts';
import { hostsAccessRepairs } from '../../firewall/hosts-access.ts';
import { ufwFileRepairs } from '../../firewall/ufw-files.ts';
import { fileEvidence } from '../finding.ts';
import {
  NotApplicable,
  nothingFound,
  ProbeFailure,
  type Probe,
  type ProbeContext,
  type ProbeResult,
} from '../probe.ts';
import { portsToOpen } from './management-path.ts';

const SUGGESTION = { action: 'firewall.recover', parameters: {} } as const;
const FAIL2BAN = '/var/lib/fail2ban/fail2ban.sqlite3';

/** Whether the rules load at the next boot. A file with an error loads nothing: the server is then open. */
export const firewallFile: Probe = {
  id: 'firewall.file',
  area: 'firewall',
  offline: true,
  limitMs: 4_200,
  async look(context) {
    const { exitStatus, err, command } = await context.observe('nft-file');
    if (exitStatus === 0) return nothingFound;
    const [, file, line] = /^(\/[^:\n\r\u2028\u2029]+):(\d+):/m.exec(err) ?? [];
    // Anything else is trouble of the check, not of the file.
    if (file === undefined) throw new ProbeFailure(`${command}: ${err.trim().slice(0, 200)}`);
    return {
      findings: [
        {
          rule: 'fw.syntax',
          severity: 'warning',
          subject: file,
          title: 'The firewall does not load at the next boot: its file has an error',
          evidence: [fileEvidence(file, Number(line), err)],
          suggestion: SUGGESTION,
          byHand: `Correct it, and check with nft -c -f ${file}. Until then a boot leaves the server without a firewall.`,
        },
      ],
    };
  },
};

/** Whether ufw's own rules, which it loads at boot, let SSH in. */
export const ufwRules: Probe = {
  id: 'firewall.ufw',
  area: 'firewall',
  offline: true,
  limitMs: 4_200,
  look: (context) =>
    lookAtFiles(
      context,
      'ufw',
      '/etc/ufw/ufw.conf',
      ufwFileRepairs,
      (port) => `ufw allow ${port}/tcp`,
    ),
};

/** Whether the zones of firewalld that are in use let SSH in. */
export const firewalldZones: Probe = {
  id: 'firewall.firewalld',
  area: 'firewall',
  offline: true,
  limitMs: 4_200,
  look: (context) =>
    lookAtFiles(
      context,
      'firewalld',
      '/etc/firewalld',
      firewalldRepairs,
      (port) => `firewall-offline-cmd --add-port=${port}/tcp`,
    ),
};

async function lookAtFiles(
  context: ProbeContext,
  name: string,
  settings: string,
  repairs: (look: FilesLook) => Promise<FileRepairs>,
  command: (port: number) => string,
): Promise<ProbeResult> {
  if ((await context.files.stat(settings)) === null) {
    throw new NotApplicable(`${name} is not installed`);
  }
  const ports = await portsToOpen(context);
  const packets = ([4, 6] as const).flatMap((version) =>
    ports.map((port) => ({ port, version, source: null })),
  );
  const { steps } = await repairs({ target: context, packets });
  if (steps.length === 0) return nothingFound;
  return {
    findings: [
      {
        rule: 'fw.blocks_mgmt',
        severity: 'critical',
        subject: name,
        title: `${name} is on and lets no SSH connection in (port ${ports.join(', ')})`,
        evidence: steps.flatMap(({ changes }) =>
          changes.map(({ path }) => fileEvidence(path, null, 'nothing that lets SSH in')),
        ),
        suggestion: SUGGESTION,
        byHand: `${command(ports[0]!)}; do not switch the firewall off.`,
      },
    ],
  };
}

/** Whether the files of TCP wrappers keep everybody from an sshd that reads them. */
export const hostsDeny: Probe = {
  id: 'firewall.hosts-deny',
  area: 'firewall',
  offline: true,
  limitMs: 2_000,
  async look({ files }) {
    const packets = [{ port: 22, version: 4 as const, source: null }];
    const { steps } = await hostsAccessRepairs({ target: { files }, packets });
    if (steps.length === 0) return nothingFound;
    return {
      findings: [
        {
          rule: 'fw.hosts_deny',
          severity: 'critical',
          subject: '/etc/hosts.deny',
          title: 'hosts.deny keeps everybody from logging in over SSH',
          evidence: [
            fileEvidence('/etc/hosts.deny', null, (await files.read('/etc/hosts.deny')) ?? ''),
          ],
          suggestion: SUGGESTION,
          byHand: 'Add a line like sshd: ADDRESS to /etc/hosts.allow, which comes before it.',
        },
      ],
    };
  },
};

/** Whom fail2ban keeps out. Which of them is the client nobody here can tell. */
export const bannedClients: Probe = {
  id: 'firewall.bans',
  area: 'firewall',
  offline: true,
  limitMs: 2_000,
  async look({ files }) {
    const banned = await bannedAddresses(files).catch((error: Error) => {
      throw new ProbeFailure(`${FAIL2BAN}: ${error.message}`);
    });
    if (banned.length === 0) return nothingFound;
    return {
      findings: [
        {
          rule: 'fw.banned_client',
          severity: 'notice',
          subject: FAIL2BAN,
          title: `fail2ban keeps ${banned.length === 1 ? 'one address' : `${banned.length} addresses`} out`,
          evidence: [fileEvidence(FAIL2BAN, null, banned.slice(0, 20).join(' '))],
          suggestion: null,
          byHand: 'If one of them is yours: firewall.recover with unban=ADDRESS.',
        },
      ],
    };
  },
};
