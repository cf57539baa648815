import type { TargetFiles } from '../../../target/target-files.ts';

export interface ConfiguredInterface {
  name: string;
  file: string;
  line: number;
  text: string;
}

const INTERFACES = '/etc/network/interfaces';
const NETWORKD = '/etc/systemd/network';

/** Interfaces of real hardware that ifupdown or systemd-networkd are told to set up by name. */
export async function configuredInterfaces(files: TargetFiles): Promise<ConfiguredInterface[]> {
  const ifupdown = [INTERFACES].concat(
    (await files.list(`${INTERFACES}.d`)).map((name) => `${INTERFACES}.d/${name}`),
  );
  const found: ConfiguredInterface[] = [];
  for (const file of ifupdown) {
    found.push(...parseInterfaces(file, (await files.read(file)) ?? ''));
  }
  for (const name of await files.list(NETWORKD)) {
    if (!name.endsWith('.network')) continue;
    const file = `${NETWORKD}/${name}`;
    found.push(...parseNetwork(file, (await files.read(file)) ?? ''));
  }
  return found;
}

/** `auto` lines of interfaces(5): what has to be up after a boot, and is not made by the configuration. */
export function parseInterfaces(file: string, text: string): ConfiguredInterface[] {
  const lines = text.split('\n');
  const made = new Set<string>();
  let current = '';
  for (const line of lines) {
    const [, name] = /^\s*iface\s+(\S+)/.exec(line) ?? [];
    if (name !== undefined) current = name;
    if (
      /^\s*(?:bridge_ports|bond-|bond_|vlan-raw-device|pre-up\s+ip\s+link\s+add|tunnel)/.test(line)
    ) {
      made.add(current);
    }
  }
  return lines.flatMap((line, at) => {
    const [, names] = /^\s*auto\s+(.+)$/.exec(line) ?? [];
    return (names ?? '')
      .split(/\s+/)
      .filter((name) => name !== '' && name !== 'lo' && !/[:.*?[\]/]/.test(name) && !made.has(name))
      .map((name) => ({ name, file, line: at + 1, text: line }));
  });
}

function parseNetwork(file: string, text: string): ConfiguredInterface[] {
  let section = '';
  return text.split('\n').flatMap((line, at) => {
    const [, header] = /^\s*\[(\w+)\]/.exec(line) ?? [];
    if (header !== undefined) section = header;
    const [, names] = /^\s*Name\s*=\s*(.+)$/.exec(line) ?? [];
    if (section !== 'Match' || names === undefined) return [];
    return names
      .trim()
      .split(/\s+/)
      .filter((name) => !/[*?[\]!]/.test(name) && name !== 'lo')
      .map((name) => ({ name, file, line: at + 1, text: line }));
  });
}
