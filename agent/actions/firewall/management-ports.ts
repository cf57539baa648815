import type { ActionContext } from '../../runner/action.ts';
import type { Target } from '../../target/open-target.ts';
import { SSHD_CONFIG } from '../diagnostics/ssh/sshd-settings.ts';

const DEFAULT_PORT = 22;
const PORTS_MAX = 8;
const INCLUDES_MAX = 64;

/** The ports that sshd is set to listen on: by its own word where the target runs, else by its files. */
export async function managementPorts(context: ActionContext, target: Target): Promise<number[]> {
  const said = target.kind === 'live' ? await askSshd(context) : [];
  const ports = said.length > 0 ? said : await configuredPorts(target);
  return ports.length > 0 ? ports.slice(0, PORTS_MAX) : [DEFAULT_PORT];
}

async function askSshd(context: ActionContext): Promise<number[]> {
  const done = await context.run(['/usr/sbin/sshd', '-T'], { output: 'capture' }).catch(() => null);
  return done?.exitStatus === 0 ? portsIn(done.out) : [];
}

async function configuredPorts({ files }: Target): Promise<number[]> {
  const text = await files.read(SSHD_CONFIG).catch(() => null);
  const ports: number[] = [];
  for (const line of (text ?? '').split('\n')) {
    // What follows holds for some connections only.
    if (/^\s*match\s/i.test(line)) break;
    const [, folder] = /^\s*include\s+(\/\S*)\/\*\.conf\s*$/i.exec(line) ?? [];
    if (folder === undefined) {
      ports.push(...portsIn(line));
      continue;
    }
    const names = (await files.list(folder)).filter((name) => name.endsWith('.conf'));
    for (const name of names.slice(0, INCLUDES_MAX)) {
      ports.push(...portsIn((await files.read(`${folder}/${name}`).catch(() => null)) ?? ''));
    }
  }
  return [...new Set(ports)];
}

function portsIn(text: string): number[] {
  const ports = [...text.matchAll(/^[ \t]*port[ \t=]+(\d{1,5})[ \t]*$/gim)].map(([, port]) =>
    Number(port),
  );
  return [...new Set(ports)].filter((port) => port > 0 && port < 65_536);
}
