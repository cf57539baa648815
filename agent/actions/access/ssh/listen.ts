import type { ActionContext } from '../../../runner/action.ts';
import type { Target } from '../../../target/open-target.ts';
import type { ConfigDraft } from './config-draft.ts';
import type { Settings } from './login-policy.ts';

interface Socket {
  host: string;
  port: number;
}

export interface ListenRepair {
  draft: ConfigDraft;
  findings: string[];
  /** What only a person can decide. */
  left: string[];
}

const DEFAULT_PORT = 22;

/** Where sshd listens, as it says itself: `0.0.0.0:22`, `[::]:22`. */
export function socketsOf(settings: Settings): Socket[] {
  return (settings.get('listenaddress') ?? []).flatMap((text): Socket[] => {
    const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(text) ?? [];
    return port === '' ? [] : [{ host, port: Number(port) }];
  });
}

/**
 * Makes sshd listen on a port and address where clients can come. Ports that it has are kept. Addresses are
 * never guessed: one that the machine does not have is replaced only by the one of the order.
 */
export async function mendListening(
  context: Pick<ActionContext, 'run'>,
  target: Target,
  original: ConfigDraft,
  wanted: { port?: number | undefined; listenAddress?: string | undefined },
  serve: (draft: ConfigDraft) => Promise<Settings>,
): Promise<ListenRepair> {
  const repair: ListenRepair = { draft: original, findings: [], left: [] };
  await mendAddress(context, target, repair, wanted.listenAddress, serve);
  await mendPort(repair, wanted.port, serve);
  return repair;
}

async function mendAddress(
  context: Pick<ActionContext, 'run'>,
  target: Target,
  repair: ListenRepair,
  wanted: string | undefined,
  serve: (draft: ConfigDraft) => Promise<Settings>,
): Promise<void> {
  const hosts = [...new Set(socketsOf(await serve(repair.draft)).map(({ host }) => host))];
  const isReached = await reachable(context, target);
  const isGood =
    wanted === undefined
      ? hosts.some(isReached)
      : hosts.some((host) => host === wanted || isWildcard(host));
  if (isGood || hosts.length === 0) return;
  const said = `sshd listens at ${hosts.join(', ')} only, where no client can come.`;
  if (wanted === undefined) {
    repair.left.push(`${said} Name an address of the server with listenAddress.`);
    return;
  }
  const lines = repair.draft.directives('listenaddress').filter(({ match }) => match === null);
  const without = lines.reduce((draft, line) => draft.with(line, null), repair.draft);
  repair.draft = without.withFirst(`ListenAddress ${wanted}`);
  repair.findings.push(`${said} It is to listen at ${wanted}.`);
}

async function mendPort(
  repair: ListenRepair,
  wanted: number | undefined,
  serve: (draft: ConfigDraft) => Promise<Settings>,
): Promise<void> {
  if (wanted === undefined) return;
  const has = async (draft: ConfigDraft) =>
    socketsOf(await serve(draft)).some(({ port }) => port === wanted);
  if (await has(repair.draft)) return;
  const isDefault = repair.draft.directives('port').length === 0;
  const kept = isDefault ? repair.draft.withFirst(`Port ${DEFAULT_PORT}`) : repair.draft;
  const added = kept.withFirst(`Port ${wanted}`);
  if (await has(added)) {
    repair.draft = added;
    repair.findings.push(
      `sshd does not listen on port ${wanted}; it is to, besides its other ports.`,
    );
  } else {
    repair.left.push(
      `sshd does not listen on port ${wanted}: its ListenAddress lines name other ports, and they are kept.`,
    );
  }
}

/** Whether clients can come to an address. Of a system on disks it is not known which ones it will have. */
async function reachable(
  context: Pick<ActionContext, 'run'>,
  { kind }: Target,
): Promise<(host: string) => boolean> {
  if (kind === 'offline') return (host) => !isLoopback(host);
  const { out } = await context.run(['ip', '-json', 'address'], { output: 'capture' });
  const own = new Set([...out.matchAll(/"local":\s*"([^"]+)"/g)].map(([, address]) => address!));
  return (host) => isWildcard(host) || (own.has(host) && !isLoopback(host));
}

function isWildcard(host: string): boolean {
  return host === '0.0.0.0' || host === '::' || host === '*';
}

function isLoopback(host: string): boolean {
  return host.startsWith('127.') || host === '::1' || host === 'localhost';
}
