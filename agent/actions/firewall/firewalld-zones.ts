import type { TargetFiles } from '../../target/target-files.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import { IFCFG, PROFILES } from '../network/managers.ts';
import {
  isUnitEnabled,
  LETS_IN,
  nothingToRepair,
  type FileRepairs,
  type FilesLook,
} from './file-repair.ts';

const UNIT = 'firewalld.service';
const OWN = '/etc/firewalld';
const SHIPPED = '/usr/lib/firewalld';
const FILES_MAX = 64;
const NAME = /^[A-Za-z0-9_/-]{1,64}$/;

/** What the zones of firewalld need that interfaces or senders belong to (firewalld.zone(5)). */
export async function firewalldRepairs({ target, packets }: FilesLook): Promise<FileRepairs> {
  const { files } = target;
  if (!(await isUnitEnabled(files, UNIT))) return nothingToRepair;
  const repairs: FileRepairs = { steps: [], findings: [], removals: [] };
  for (const zone of await zonesInUse(files)) {
    const path = `${OWN}/zones/${zone}.xml`;
    const text = (await read(files, path)) ?? (await read(files, `${SHIPPED}/zones/${zone}.xml`));
    if (text === null) continue;
    const after = await letIn(files, text, packets);
    if (after === null) {
      repairs.findings.push(`${path} is no zone that can be changed safely: let SSH in by hand.`);
    } else if (after !== text) {
      repairs.steps.push({
        id: `firewalld-${zone.replaceAll('/', '-')}`.toLowerCase(),
        description: `${LETS_IN}: zone ${zone} of firewalld`,
        changes: [{ kind: 'file', path, content: Buffer.from(after), mode: 0o644 }],
        verify: 'The zone is read again, and has SSH among what it lets in.',
      });
    }
  }
  return repairs;
}

/** The default zone, and those that something is bound to by name. */
export async function zonesInUse(files: TargetFiles): Promise<string[]> {
  const settings = (await read(files, `${OWN}/firewalld.conf`)) ?? '';
  const zones = [/^[ \t]*DefaultZone[ \t]*=[ \t]*(\S+)/m.exec(settings)?.[1] ?? 'public'];
  for (const name of await listed(files, `${OWN}/zones`, '.xml')) {
    const text = withoutComments((await read(files, `${OWN}/zones/${name}`)) ?? '');
    if (/<(?:interface|source)\s/.test(text)) zones.push(name.slice(0, -'.xml'.length));
  }
  for (const [folder, key] of [
    [PROFILES, 'zone'],
    [IFCFG, 'ZONE'],
  ] as const) {
    for (const name of await listed(files, folder, '')) {
      const text = (await read(files, `${folder}/${name}`)) ?? '';
      const [, zone] =
        new RegExp(String.raw`^[ \t]*${key}[ \t]*=[ \t]*["']?([\w/-]+)`, 'm').exec(text) ?? [];
      if (zone !== undefined) zones.push(zone);
    }
  }
  return [...new Set(zones)].filter((zone) => NAME.test(zone) && !zone.startsWith('/'));
}

/** The zone with what lets these packets in; null where its text cannot be judged. */
async function letIn(
  files: TargetFiles,
  text: string,
  packets: readonly Packet[],
): Promise<string | null> {
  const plain = withoutComments(text);
  const [open, attributes, isEmpty] = /<zone\b([^<>]*?)(\/?)>/.exec(plain) ?? [];
  const ends = plain.match(/<\/zone>/g)?.length ?? 0;
  if (open === undefined || ends !== (isEmpty === '/' ? 0 : 1)) return null;
  if (/\btarget\s*=\s*["']ACCEPT["']/.test(attributes!)) return text;
  // What a rule forbids comes before what the zone lets in.
  for (const rule of rulesOf(plain)) {
    const isForEverybody = /<(?:drop|reject)\b/.test(rule) && !/<source\b/.test(rule);
    for (const packet of isForEverybody ? packets : []) {
      if (await opens(files, rule, packet)) return null;
    }
  }
  const added: string[] = [];
  for (const packet of packets) {
    if (await isLetIn(files, plain, packet)) continue;
    const element = await elementFor(files, packet);
    if (!added.includes(element)) added.push(element);
  }
  if (added.length === 0) return text;
  const lines = added.map((element) => `  ${element}\n`).join('');
  if (isEmpty === '/') {
    return text.replace(open, () => `<zone${attributes!.trimEnd()}>\n${lines}</zone>`);
  }
  const at = plain.lastIndexOf('</zone>');
  return `${text.slice(0, at)}${lines}${text.slice(at)}`;
}

/** Of a sender that is named a rule for exactly that sender is enough. */
async function isLetIn(files: TargetFiles, zone: string, packet: Packet): Promise<boolean> {
  const rules = rulesOf(zone);
  const { source } = packet;
  if (source !== null) {
    for (const rule of rules) {
      const from = attributeOf(/<source\b[^<>]*>/.exec(rule)?.[0] ?? '', 'address');
      if (from === source && /<accept\b/.test(rule) && (await opens(files, rule, packet))) {
        return true;
      }
    }
  }
  const rest = rules.reduce((text, rule) => text.replace(rule, ''), zone);
  return opens(files, rest, packet);
}

function rulesOf(zone: string): string[] {
  return zone.match(/<rule\b(?:(?!<rule\b)[\s\S])*?<\/rule>/g) ?? [];
}

/** Whether a piece of a zone names the packet's port, by number or by a service that has it. */
async function opens(files: TargetFiles, text: string, { port }: Packet): Promise<boolean> {
  for (const [element] of text.matchAll(/<port\b[^<>]*>/g)) {
    if (attributeOf(element, 'protocol') === 'tcp' && hasPort(attributeOf(element, 'port'), port)) {
      return true;
    }
  }
  for (const [element] of text.matchAll(/<service\b[^<>]*>/g)) {
    const name = attributeOf(element, 'name') ?? '';
    if ((await portsOfService(files, name)).some((ports) => hasPort(ports, port))) return true;
  }
  return false;
}

async function elementFor(files: TargetFiles, { port, source, version }: Packet): Promise<string> {
  const ports = await portsOfService(files, 'ssh');
  const element = ports.some((one) => hasPort(one, port))
    ? '<service name="ssh"/>'
    : `<port port="${port}" protocol="tcp"/>`;
  if (source === null) return element;
  return `<rule family="ipv${version}"><source address="${source}"/>${element}<accept/></rule>`;
}

/** TCP ports of a service, as its file has them: single ones and ranges. */
async function portsOfService(files: TargetFiles, service: string): Promise<string[]> {
  if (!NAME.test(service) || service.includes('/')) return [];
  const text =
    (await read(files, `${OWN}/services/${service}.xml`)) ??
    (await read(files, `${SHIPPED}/services/${service}.xml`));
  // Every firewalld comes with it.
  if (text === null) return service === 'ssh' ? ['22'] : [];
  return (withoutComments(text).match(/<port\b[^<>]*>/g) ?? [])
    .filter((element) => attributeOf(element, 'protocol') === 'tcp')
    .flatMap((element) => attributeOf(element, 'port') ?? []);
}

function attributeOf(element: string, name: string): string | null {
  const [, , value] = new RegExp(`\\s${name}\\s*=\\s*(["'])(.*?)\\1`).exec(element) ?? [];
  return value ?? null;
}

/** `22`, or `20-25`. */
function hasPort(ports: string | null, port: number): boolean {
  const [, from, to] = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(ports ?? '') ?? [];
  return from !== undefined && Number(from) <= port && port <= Number(to ?? from);
}

/** The same text, every other place where it was, with comments made blank. */
function withoutComments(text: string): string {
  return text.replaceAll(/<!--(?:(?!<!--)[\s\S])*?-->/g, (comment) => ' '.repeat(comment.length));
}

async function listed(files: TargetFiles, folder: string, ending: string): Promise<string[]> {
  const names = (await files.list(folder)).filter((name) => name.endsWith(ending));
  return names.slice(0, FILES_MAX);
}

function read(files: TargetFiles, path: string): Promise<string | null> {
  return files.read(path).catch(() => null);
}
