import { commandEvidence, fileEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe, type ProbeContext } from '../probe.ts';
import { enabledSocket, socketPorts } from './ssh-socket.ts';
import { askSshd, sshPorts } from './sshd-settings.ts';

const SUGGESTION = { action: 'access.restore-ssh', parameters: {} } as const;
const UNITS = ['ssh.service', 'sshd.service', 'ssh.socket', 'sshd.socket'];
const LISTEN = '0A';

/** Whether sshd answers now, and will after the next boot. */
export const sshService: Probe = {
  id: 'ssh.service',
  area: 'ssh',
  offline: true,
  limitMs: 4_200,
  async look(context) {
    await askSshd(context);
    const seen = await context.observe('listening').catch((error: unknown) => {
      if (error instanceof NotApplicable) return null;
      throw error;
    });
    const ports = await sshPorts(context);
    const socket = await judgeSocket(context, ports);
    // Where nothing runs only the next boot counts.
    if (seen === null) return { findings: [...(await judgeUnits(context, false)), ...socket] };
    const sockets = parseListening(seen.out);
    const isReached = (port: number) =>
      sockets.some((socket) => socket.port === port && !socket.isLoopback);
    const isListening = ports.some(isReached);
    const findings: NewFinding[] = [];
    if (!isListening) {
      const isLocal = ports.some((port) => sockets.some((socket) => socket.port === port));
      findings.push({
        rule: 'ssh.not_listening',
        severity: 'critical',
        subject: `port ${ports.join(', ')}`,
        title: isLocal
          ? `sshd answers on the server itself only, not from outside (port ${ports.join(', ')})`
          : `Nothing answers on the SSH port (${ports.join(', ')})`,
        evidence: [
          commandEvidence(
            seen.command,
            `listening: ${[...new Set(sockets.map(({ port }) => port))].join(', ') || 'nothing'}`,
          ),
        ],
        suggestion: SUGGESTION,
        byHand: isLocal
          ? 'Correct ListenAddress in /etc/ssh/sshd_config; then: systemctl restart ssh.'
          : 'systemctl start ssh; if it fails: journalctl --unit ssh.',
      });
    }
    findings.push(...(await judgeUnits(context, isListening)), ...socket);
    return { findings };
  },
};

async function judgeUnits({ files }: ProbeContext, isListening: boolean): Promise<NewFinding[]> {
  const folders = ['/etc/systemd/system', '/lib/systemd/system', '/usr/lib/systemd/system'];
  const known: string[] = [];
  for (const unit of UNITS) {
    for (const folder of folders) {
      if ((await files.lstat(`${folder}/${unit}`)) !== null) known.push(`${folder}/${unit}`);
    }
  }
  // Started some other way: there is no unit to judge.
  if (known.length === 0) return [];
  const severity = isListening ? 'warning' : 'critical';
  for (const path of known) {
    // A socket is masked to let the service listen by itself.
    if (path.endsWith('.socket') || (await files.readLink(path)) !== '/dev/null') continue;
    const unit = path.split('/').at(-1)!;
    return [off(unit, severity, `${unit} is masked: SSH does not start`, path, '/dev/null')];
  }
  for (const folder of [
    'multi-user.target.wants',
    'sockets.target.wants',
    'graphical.target.wants',
  ]) {
    for (const unit of UNITS) {
      if ((await files.lstat(`/etc/systemd/system/${folder}/${unit}`)) !== null) return [];
    }
  }
  const unit = known[0]!.split('/').at(-1)!;
  const title = `${unit} is not enabled: SSH does not start at the next boot`;
  return [off(unit, severity, title, '/etc/systemd/system/multi-user.target.wants', 'no link')];
}

/** With a socket systemd listens, whatever sshd_config says. */
async function judgeSocket(
  { files }: ProbeContext,
  ports: readonly number[],
): Promise<NewFinding[]> {
  const socket = await enabledSocket(files);
  const listened = socket === null ? null : await socketPorts(files, socket);
  if (socket === null || listened === null) return [];
  const missing = ports.filter((port) => !listened.includes(port));
  if (missing.length === 0) return [];
  return [
    {
      rule: 'ssh.socket_port',
      severity: 'warning',
      subject: socket,
      title: `${socket} does not listen on port ${missing.join(', ')}, which sshd_config says`,
      evidence: [
        fileEvidence(`/etc/systemd/system/${socket}.d`, null, `listens on: ${listened.join(', ')}`),
      ],
      suggestion: SUGGESTION,
      byHand: `systemctl edit ${socket}: ListenStream= and ListenStream=${missing[0]}; or use ssh.service.`,
    },
  ];
}

function off(
  unit: string,
  severity: 'critical' | 'warning',
  title: string,
  file: string,
  text: string,
): NewFinding {
  return {
    rule: 'ssh.unit_off',
    severity,
    subject: unit,
    title,
    evidence: [fileEvidence(file, null, text)],
    suggestion: SUGGESTION,
    byHand: `systemctl unmask ${unit} && systemctl enable --now ${unit}`,
  };
}

/** Listening sockets in the tables of /proc/net (proc_net(5)). */
export function parseListening(text: string): { port: number; isLoopback: boolean }[] {
  return text.split('\n').flatMap((line) => {
    const [, address, port, state] =
      /^\s*\d+: ([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4}) \S+ ([0-9A-F]{2}) /.exec(line) ?? [];
    if (address === undefined || state !== LISTEN) return [];
    const isLoopback =
      address.length === 8 ? address.endsWith('7F') : address === `${'0'.repeat(24)}01000000`;
    return [{ port: Number.parseInt(port!, 16), isLoopback }];
  });
}
