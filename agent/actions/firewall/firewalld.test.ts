import { mkdir, mkdtemp, realpath, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import type { Packet } from '../diagnostics/firewall/packet-path.ts';
import { firewalldRepairs } from './firewalld-zones.ts';

/** As firewalld itself writes it. */
const zone = (...lines: string[]) =>
  [
    '<?xml version="1.0" encoding="utf-8"?>',
    '<zone>',
    '  <short>Public</short>',
    '  <!-- <service name="ssh"/> was here -->',
    ...lines,
    '</zone>',
    '',
  ].join('\n');
const SSH = '  <service name="ssh"/>';
const WEB = '  <service name="http"/>';
const PUBLIC = '/etc/firewalld/zones/public.xml';

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'ivz-')));
  await write('/etc/systemd/system/multi-user.target.wants/firewalld.service', '');
  await write('/etc/firewalld/firewalld.conf', '# the default\nDefaultZone=public\n');
  const service = (port: number) =>
    `<service><port protocol="tcp" port="${port}"/><port protocol="udp" port="2222"/></service>`;
  await write('/usr/lib/firewalld/services/ssh.xml', service(22));
  await write('/usr/lib/firewalld/services/http.xml', service(80));
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function write(path: string, text: string): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
}

async function repaired(port = 22, source: string | null = null) {
  const packets: Packet[] = [{ port, version: 4, source }];
  const files = new TargetFiles(root);
  const { steps, findings } = await firewalldRepairs({ target: { files }, packets });
  const changes = steps.flatMap((step) =>
    step.changes.map((change) =>
      change.kind === 'file' ? [change.path, String(change.content)] : [],
    ),
  );
  return { changes: Object.fromEntries(changes) as Record<string, string>, findings };
}

it('puts the service back into the zone, and every other line stays', async () => {
  await write(PUBLIC, zone(WEB));
  expect((await repaired()).changes).toEqual({ [PUBLIC]: zone(WEB, SSH) });
  await write(PUBLIC, zone(WEB, SSH));
  expect((await repaired()).changes).toEqual({});
});

it('opens another port by its number, and knows ranges', async () => {
  await write(PUBLIC, zone(SSH));
  const port = '  <port port="2222" protocol="tcp"/>';
  expect((await repaired(2222)).changes).toEqual({ [PUBLIC]: zone(SSH, port) });
  await write(PUBLIC, zone('  <port protocol="tcp" port="2000-3000"/>'));
  expect((await repaired(2222)).changes).toEqual({});
});

it('lets one sender in alone, where one is named', async () => {
  await write(PUBLIC, zone());
  const rule =
    '  <rule family="ipv4"><source address="192.0.2.7"/><service name="ssh"/><accept/></rule>';
  expect((await repaired(22, '192.0.2.7')).changes).toEqual({ [PUBLIC]: zone(rule) });
  await write(PUBLIC, zone(rule));
  expect((await repaired(22, '192.0.2.7')).changes).toEqual({});
  // Everybody is more than that one.
  expect((await repaired()).changes).toEqual({ [PUBLIC]: zone(rule, SSH) });
});

it('makes a zone of its own of one that firewalld came with', async () => {
  await write('/etc/firewalld/firewalld.conf', 'DefaultZone=drop\n');
  await write('/usr/lib/firewalld/zones/drop.xml', '<zone target="DROP"/>\n');
  expect((await repaired()).changes).toEqual({
    '/etc/firewalld/zones/drop.xml': `<zone target="DROP">\n${SSH}\n</zone>\n`,
  });
});

it('looks at every zone that an interface belongs to', async () => {
  await write(PUBLIC, zone(SSH));
  await write('/etc/firewalld/zones/dmz.xml', zone('  <interface name="eth1"/>'));
  await write('/etc/firewalld/zones/work.xml', zone());
  await write('/etc/firewalld/zones/home.xml', zone());
  await write('/etc/NetworkManager/system-connections/x.nmconnection', '[connection]\nzone=home\n');
  expect(Object.keys((await repaired()).changes)).toEqual([
    '/etc/firewalld/zones/dmz.xml',
    '/etc/firewalld/zones/home.xml',
  ]);
});

it.each([
  '<zone><rule><service name="ssh"/><reject/></rule></zone>',
  '<zone>',
  '<zone><service name="x"/></zone></zone>',
  'no zone',
  '',
])('leaves a zone alone that reads %j, and says so', async (text) => {
  await write(PUBLIC, text);
  const { changes, findings } = await repaired();
  expect(changes).toEqual({});
  expect(findings).toEqual([expect.stringMatching(/by hand/)]);
});

it('changes nothing where everything is let in, or firewalld does not start', async () => {
  await write(PUBLIC, '<zone target="ACCEPT"></zone>');
  expect((await repaired()).changes).toEqual({});
  await write(PUBLIC, zone());
  await rm(join(root, '/etc/systemd/system'), { recursive: true });
  expect((await repaired()).changes).toEqual({});
});
