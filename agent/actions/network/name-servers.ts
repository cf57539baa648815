import { isEnabled } from '../diagnostics/ssh/ssh-socket.ts';
import type { Change } from '../files/change-steps.ts';
import {
  nothingToRepair,
  readText,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';

const FILE = '/etc/resolv.conf';
/** Where a static list lies when resolv.conf is a link, which then leads here. */
const STATIC = '/etc/resolv.conf.static';
/** Who fills a file below /run once the system runs. */
const KEEPERS: readonly { folder: RegExp; unit: string }[] = [
  { folder: /\/run\/systemd\/resolve\//, unit: 'systemd-resolved.service' },
  { folder: /\/run\/NetworkManager\//, unit: 'NetworkManager.service' },
  { folder: /\/run\/resolvconf\//, unit: 'resolvconf.service' },
];

/** What resolv.conf(5) needs: it names nobody, and nobody will fill it; or the order says whom it must name. */
export async function nameServerRepairs({
  files,
  kind,
  facts,
}: NetworkLook): Promise<NetworkRepairs> {
  const text = await readText(files, FILE);
  const link = await files.readLink(FILE);
  const now = [...(text ?? '').matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map(([, name]) => name!);
  const wanted = facts.nameservers;
  const keeper = link === null ? undefined : KEEPERS.find(({ folder }) => folder.test(`/${link}`));
  const isKept = keeper !== undefined && (await isEnabled(files, keeper.unit));
  const isBroken = now.length === 0 && !(isKept && kind === 'offline');
  const why =
    link === null
      ? `${FILE} ${text === null ? 'is missing' : 'names no server'}`
      : `${FILE} leads to ${link}, ${keeper === undefined ? 'which is not there' : `which nobody fills: ${keeper.unit} is ${isKept ? 'not running' : 'not enabled'}`}`;
  const isOther = wanted !== undefined && !isKept && wanted.join() !== now.join();
  if (!isBroken && !isOther) return nothingToRepair;
  return {
    faults: isBroken
      ? [
          {
            rule: 'net.dns',
            severity: 'warning',
            file: FILE,
            line: null,
            text: text ?? link ?? 'not there',
            why: `${why}: names cannot be resolved`,
          },
        ]
      : [],
    changes: wanted !== undefined ? changesFor(link, text, wanted) : [],
  };
}

function changesFor(
  link: string | null,
  text: string | null,
  servers: readonly string[],
): Change[] {
  const list = servers.map((server) => `nameserver ${server}\n`).join('');
  const file = (path: string, before: string): Change => {
    const kept = before.replaceAll(/^[ \t]*nameserver[ \t].*\n?/gm, '');
    const end = kept === '' || kept.endsWith('\n') ? '' : '\n';
    return {
      kind: 'file',
      path,
      content: Buffer.from(`${kept}${end}${list}`),
      mode: 0o644,
      liftsFlags: true,
    };
  };
  if (link === null) return [file(FILE, text ?? '')];
  return [file(STATIC, ''), { kind: 'link', path: FILE, target: STATIC.slice('/etc/'.length) }];
}
