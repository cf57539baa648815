import type { ActionContext } from '../../runner/action.ts';
import type { TargetFiles } from '../../target/target-files.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import { hasPort, portsOfService } from './firewalld-zones.ts';
import type { LiveOpening } from './live-opening.ts';

const CLIENT = 'firewall-cmd';
const ZONES_MAX = 32;

/** One of firewalld's zones that keeps packets out, and what lets them in. */
export interface ZoneBarrier {
  text: string;
  opening: LiveOpening;
}

/** What a firewalld that runs needs: it alone changes its rules (firewall-cmd(1)). Null where none runs. */
export async function firewalldBarriers(
  context: ActionContext,
  files: TargetFiles,
  packets: readonly Packet[],
): Promise<ZoneBarrier[] | null> {
  if ((await ask(context, ['--state']))?.trim() !== 'running') return null;
  const found = new Map<string, ZoneBarrier>();
  for (const zone of await zonesOf(context)) {
    const look = async (word: string) => (await ask(context, [`--zone=${zone}`, word])) ?? '';
    if (/^\s*target: ACCEPT$/m.test(await look('--list-all'))) continue;
    const services = (await look('--list-services')).trim().split(/\s+/);
    const ports = (await look('--list-ports')).trim().split(/\s+/);
    const rules = (await look('--list-rich-rules')).split('\n').map((rule) => rule.trim());
    for (const packet of packets) {
      if (await isLetIn(files, packet, services, ports)) continue;
      const words = await wordsFor(files, packet);
      if (rules.includes(words.rule ?? '')) continue;
      const argv = [CLIENT, `--zone=${zone}`];
      const opening = {
        insert: [...argv, `--add-${words.what}`],
        remove: [...argv, `--remove-${words.what}`],
      };
      // One without a sender is for both versions.
      found.set(opening.insert.join('\0'), { text: `zone ${zone} of firewalld`, opening });
    }
  }
  return [...found.values()];
}

/** The zone that everything belongs to that is bound to no other, and those that something is bound to. */
async function zonesOf(context: ActionContext): Promise<string[]> {
  const active = (await ask(context, ['--get-active-zones'])) ?? '';
  const bound = active.split('\n').filter((line) => /^\S/.test(line));
  const standard = (await ask(context, ['--get-default-zone'])) ?? '';
  return [...new Set([standard, ...bound].map((line) => line.trim().split(/\s+/, 1)[0]!))]
    .filter((zone) => /^[\w-]+$/.test(zone))
    .slice(0, ZONES_MAX);
}

async function isLetIn(
  files: TargetFiles,
  { port }: Packet,
  services: readonly string[],
  ports: readonly string[],
): Promise<boolean> {
  if (ports.some((one) => one.endsWith('/tcp') && hasPort(one.slice(0, -'/tcp'.length), port))) {
    return true;
  }
  for (const service of services) {
    if ((await portsOfService(files, service)).some((one) => hasPort(one, port))) return true;
  }
  return false;
}

async function wordsFor(
  files: TargetFiles,
  { port, source, version }: Packet,
): Promise<{ what: string; rule: string | null }> {
  const isSsh = (await portsOfService(files, 'ssh')).some((one) => hasPort(one, port));
  if (source === null) return { what: isSsh ? 'service=ssh' : `port=${port}/tcp`, rule: null };
  const what = isSsh ? 'service name="ssh"' : `port port="${port}" protocol="tcp"`;
  const rule = `rule family="ipv${version}" source address="${source}" ${what} accept`;
  return { what: `rich-rule=${rule}`, rule };
}

async function ask(context: ActionContext, words: readonly string[]): Promise<string | null> {
  const done = await context.run([CLIENT, ...words], { output: 'capture' }).catch(() => null);
  return done?.exitStatus === 0 ? done.out : null;
}
