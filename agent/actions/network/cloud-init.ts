import { hardwareNames, interfacesFiles } from './ifupdown.ts';
import { filesIn, NETPLAN } from './managers.ts';
import {
  nothingToRepair,
  readText,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';

const SETTINGS = '/etc/cloud/cloud.cfg';
const FOLDER = '/etc/cloud/cloud.cfg.d';
/** As cloud-init's own documentation names it. */
const SWITCH = `${FOLDER}/99-disable-network-config.cfg`;
const ENDS = '/etc/cloud/cloud-init.disabled';
const DONE = '/var/lib/cloud/instance/boot-finished';
const WRITTEN = [
  '/etc/network/interfaces.d/50-cloud-init',
  '/etc/network/interfaces.d/50-cloud-init.cfg',
  `${NETPLAN}/50-cloud-init.yaml`,
];
const LATER_MS = 60_000;

/** Whether cloud-init would take back at the next boot what people have set up, and what keeps it from that. */
export async function cloudInitRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const { files } = look;
  if ((await files.stat(SETTINGS)) === null || (await files.lstat(ENDS)) !== null)
    return nothingToRepair;
  const own = await writtenByCloudInit(look);
  if (own === null || (await isSwitchedOff(look))) return nothingToRepair;
  const why = await whyByHand(look, own);
  if (why === null) return nothingToRepair;
  return {
    faults: [
      {
        rule: 'net.cloudinit_owner',
        severity: 'warning',
        file: own,
        line: 1,
        text: ((await readText(files, own)) ?? '').split('\n', 1)[0]!,
        why: `${why}, and cloud-init may write the network anew at the next boot`,
      },
    ],
    changes: [
      {
        kind: 'file',
        path: SWITCH,
        content: Buffer.from('network: {config: disabled}\n'),
        mode: 0o644,
      },
    ],
  };
}

async function writtenByCloudInit({ files }: NetworkLook): Promise<string | null> {
  for (const path of WRITTEN) {
    const text = await readText(files, path);
    if (text !== null && /generated from information provided by/i.test(text)) return path;
  }
  return null;
}

async function isSwitchedOff({ files }: NetworkLook): Promise<boolean> {
  for (const path of [SETTINGS, ...(await filesIn(files, FOLDER, /\.cfg$/))]) {
    if (
      /^network:\s*(?:\{\s*|\n[ \t]+)config:\s*disabled/m.test((await readText(files, path)) ?? '')
    )
      return true;
  }
  return false;
}

/** What shows that people have set the network up themselves; null: cloud-init's own is as it left it. */
async function whyByHand({ files }: NetworkLook, own: string): Promise<string | null> {
  const done = await files.stat(DONE);
  const changed = await files.stat(own);
  if (done !== null && changed !== null && changed.mtimeMs > done.mtimeMs + LATER_MS) {
    return `${own} has been changed since`;
  }
  const others = (await interfacesFiles(files)).filter(({ path }) => path !== own);
  const other =
    others.find(({ text }) => hardwareNames([text]).length > 0)?.path ??
    (await filesIn(files, NETPLAN, /\.ya?ml$/)).find((path) => path !== own);
  return other === undefined ? null : `${other} sets the network up, too`;
}
