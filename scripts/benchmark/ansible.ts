import { spawnSync } from 'node:child_process';
import type { OpenSsh } from './openssh.ts';

/** The same command by Debian's ansible-core over the peer's sshd; null where it is not installed. */
export function findAnsible(peer: OpenSsh): string[] | null {
  if (spawnSync('ansible', ['--version']).status !== 0) return null;
  const options = [
    ...['ansible_host=127.0.0.1', `ansible_port=${peer.port}`],
    `ansible_ssh_private_key_file=${peer.keyFile}`,
    'ansible_pipelining=true',
    "ansible_ssh_common_args='-F none -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null'",
  ];
  return [
    'ansible',
    'peer',
    '-i',
    'peer,',
    '-m',
    'command',
    '-a',
    'echo hi',
    '-e',
    options.join(' '),
  ];
}
