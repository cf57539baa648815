import { isIPv4 } from 'node:net';
import { isEnabled } from '../diagnostics/ssh/ssh-socket.ts';
import type { Change } from '../files/change-steps.ts';
import { lineOf, valuesOf, withValue } from './ini-text.ts';
import { isInNetwork, parseInterfaceAddress } from './ip-address.ts';
import { filesIn, IFCFG, PROFILES } from './managers.ts';
import {
  nothingToRepair,
  readText,
  together,
  type NetworkFault,
  type NetworkLook,
  type NetworkRepairs,
} from './network-repair.ts';

const UNIT = 'NetworkManager.service';
const PRIVATE = { mode: 0o600, uid: 0, gid: 0 };
const OTHERS = 0o077;

/** What NetworkManager's profiles need, where it is what sets the network up (nm-settings-keyfile(5)). */
export async function networkManagerRepairs(look: NetworkLook): Promise<NetworkRepairs> {
  const { files } = look;
  if (!(await isEnabled(files, UNIT))) return nothingToRepair;
  const profiles: { path: string; text: string }[] = [];
  for (const path of await filesIn(files, PROFILES, /./)) {
    const text = await readText(files, path);
    if (text !== null && valuesOf(text, 'connection', 'type')[0] === 'ethernet')
      profiles.push({ path, text });
  }
  const repairs: NetworkRepairs[] = [];
  for (const profile of profiles)
    repairs.push(await repairProfile(look, profile, profiles.length === 1));
  return together([...repairs, await ifcfgRepairs(look)]);
}

async function repairProfile(
  { files, facts }: NetworkLook,
  { path, text }: { path: string; text: string },
  isOnly: boolean,
): Promise<NetworkRepairs> {
  const faults: NetworkFault[] = [];
  const fault = (
    line: number | null,
    shown: string,
    why: string,
    rule: NetworkFault['rule'] = 'net.config_bad',
  ) => faults.push({ rule, severity: 'critical', file: path, line, text: shown, why });
  const found = (await files.stat(path))!;
  const isOpen = (found.mode & OTHERS) !== 0 || found.uid !== 0;
  if (isOpen) {
    fault(
      null,
      `mode ${(found.mode & 0o7777).toString(8)}, owner ${found.uid}`,
      'NetworkManager passes over a profile that others may read or write',
    );
  }
  let after = text;
  const name = valuesOf(text, 'connection', 'interface-name')[0];
  const isMeant = facts.interface === undefined ? isOnly : isOnly || name === facts.interface;
  if (isOnly && valuesOf(text, 'connection', 'autoconnect')[0] === 'false') {
    fault(
      lineOf(text, 'connection', 'autoconnect'),
      'autoconnect=false',
      'the only profile of the network is not used at boot',
    );
    after = withValue(after, 'connection', 'autoconnect', 'true');
  }
  if (isOnly && facts.interface !== undefined && name !== undefined && name !== facts.interface) {
    after = withValue(after, 'connection', 'interface-name', facts.interface);
  }
  const outside = gatewayOutside(text);
  if (outside !== null)
    fault(null, outside, 'the gateway lies outside of the network', 'net.gateway');
  if (isMeant) after = withFacts(after, facts);
  const isChanged = after !== text || isOpen;
  const change: Change = {
    kind: 'file',
    path,
    content: Buffer.from(after),
    mode: 0o600,
    corrects: PRIVATE,
  };
  return { faults, changes: isChanged ? [change] : [] };
}

function gatewayOutside(text: string): string | null {
  const [own = '', inLine] = (valuesOf(text, 'ipv4', 'address1')[0] ?? '').split(',');
  const address = parseInterfaceAddress(own.trim());
  const gateway = valuesOf(text, 'ipv4', 'gateway')[0] ?? inLine?.trim();
  if (address === null || gateway === undefined || gateway === '' || isInNetwork(gateway, address))
    return null;
  return `address ${own}, gateway ${gateway}`;
}

function withFacts(text: string, { address, gateway, nameservers }: NetworkLook['facts']): string {
  let after = text;
  const sectionOf = (value: string) => (isIPv4(value.split('/', 1)[0]!) ? 'ipv4' : 'ipv6');
  if (address !== undefined) {
    const section = sectionOf(address);
    const [own, ...rest] = (valuesOf(after, section, 'address1')[0] ?? '').split(',');
    if (own !== address)
      after = withValue(after, section, 'address1', [address, ...rest].join(','));
    if (valuesOf(after, section, 'method')[0] !== 'manual')
      after = withValue(after, section, 'method', 'manual');
  }
  if (gateway !== undefined) {
    const section = sectionOf(gateway);
    const [own = '', inLine] = (valuesOf(after, section, 'address1')[0] ?? '').split(',');
    if (inLine !== undefined) {
      if (inLine.trim() !== gateway)
        after = withValue(after, section, 'address1', `${own},${gateway}`);
    } else if (valuesOf(after, section, 'gateway')[0] !== gateway) {
      after = withValue(after, section, 'gateway', gateway);
    }
  }
  const servers = nameservers?.filter((server) => isIPv4(server)) ?? [];
  if (servers.length > 0) {
    const list = `${servers.join(';')};`;
    if (valuesOf(after, 'ipv4', 'dns')[0] !== list) after = withValue(after, 'ipv4', 'dns', list);
  }
  return after;
}

/** The profiles of Red Hat up to 8, of which one alone is there and is not used at boot. */
async function ifcfgRepairs({ files }: NetworkLook): Promise<NetworkRepairs> {
  const paths = await filesIn(files, IFCFG, /^ifcfg-(?!lo$)[\w.-]+$/);
  const [path] = paths;
  if (path === undefined || paths.length > 1) return nothingToRepair;
  const text = (await readText(files, path)) ?? '';
  if (!/^[ \t]*ONBOOT[ \t]*=[ \t]*["']?no["']?[ \t]*$/im.test(text)) return nothingToRepair;
  const after = text.replace(/^([ \t]*ONBOOT[ \t]*=).*$/im, '$1yes');
  return {
    faults: [
      {
        rule: 'net.config_bad',
        severity: 'critical',
        file: path,
        line: null,
        text: 'ONBOOT=no',
        why: 'the only profile of the network is not used at boot',
      },
    ],
    changes: [{ kind: 'file', path, content: Buffer.from(after), mode: 0o644 }],
  };
}
