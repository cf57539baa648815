import { execFileSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, realpath, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TargetFiles } from '../../target/target-files.ts';
import { findNetworkRepairs } from './find-repairs.ts';
import type { NetworkFacts } from './network-repair.ts';

let root: string;
beforeEach(async () => {
  root = await realpath(await mkdtemp(join(tmpdir(), 'ivw-')));
  await write('/etc/resolv.conf', 'nameserver 192.0.2.53\n');
});
afterEach(() => rm(root, { recursive: true, force: true }));

async function write(path: string, text: string, mode = 0o644): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
}

async function link(path: string, target: string): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await rm(file, { force: true });
  await symlink(target, file);
}

/** A service that came with its package, and starts at boot unless said otherwise. */
async function service(name: string, isEnabled = true): Promise<void> {
  const unit = `/lib/systemd/system/${name}`;
  await write(unit, '[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n');
  if (isEnabled) await link(`/etc/systemd/system/multi-user.target.wants/${name}`, unit);
}

async function look(facts: NetworkFacts = {}, kind: 'live' | 'offline' = 'offline') {
  const { faults, changes } = await findNetworkRepairs({
    files: new TargetFiles(root),
    kind,
    facts,
  });
  return {
    rules: faults.map(({ rule, line }) => (line === null ? rule : `${rule} ${line}`)),
    whys: faults.map(({ why }) => why),
    texts: faults.map(({ text }) => text),
    changes: changes.map((change) => ({
      ...change,
      ...(change.kind === 'file' && { content: change.content?.toString() ?? '' }),
    })),
  };
}

/** The text of the only file that changes. */
async function repaired(facts: NetworkFacts = {}): Promise<string | undefined> {
  const { changes } = await look(facts);
  expect(changes.length).toBeLessThan(2);
  const [change] = changes;
  return change?.kind === 'file' ? String(change.content) : undefined;
}

const STATIC = [
  '# made by hand',
  'auto lo',
  'iface lo inet loopback',
  '',
  'auto ens3',
  'iface ens3 inet static',
  '    address 192.0.2.7',
  '    netmask 255.255.255.0',
  '    gateway 192.0.2.1',
  '    up ip route add 10.0.0.0/8 via 192.0.2.9',
  '',
].join('\n');

describe('what ifupdown is told', () => {
  const interfaces = '/etc/network/interfaces';
  beforeEach(() => service('networking.service'));

  it('is left alone where it is right', async () => {
    await write(interfaces, STATIC);
    const facts = { interface: 'ens3', address: '192.0.2.7/24', gateway: '192.0.2.1' };
    expect(await look(facts)).toEqual({ rules: [], whys: [], texts: [], changes: [] });
  });

  it.each([
    ['inet static', 'inet statik', 6],
    ['auto ens3', 'atuo ens3', 5],
    ['gateway', 'gatway', 9],
    ['netmask', 'netmsk', 8],
  ])('has %s corrected where it says %s', async (right, wrong, line) => {
    await write(interfaces, STATIC.replace(right, wrong));
    expect((await look()).rules).toEqual([`net.config_bad ${line}`]);
    expect(await repaired()).toBe(STATIC);
  });

  it.each([
    ['address 192.0.2.7', 'address 192.0.2.700'],
    ['iface ens3 inet static', 'iface ens3 inet stttk'],
    ['# made by hand', 'made by hand'],
  ])('is told of and left alone where %s became %s', async (right, wrong) => {
    await write(interfaces, STATIC.replace(right, wrong));
    expect(await look()).toMatchObject({
      rules: [expect.stringMatching(/config_bad/)],
      changes: [],
    });
  });

  it('leaves options of other packages as they are', async () => {
    await write(interfaces, `${STATIC.trimEnd()}\n    ethtool-ring-rx 512\n    wg-something x\n`);
    expect((await look()).rules).toEqual([]);
  });

  it('gets addresses from the order alone', async () => {
    await write(interfaces, STATIC.replace('gateway 192.0.2.1', 'gateway 198.51.100.1'));
    expect(await look()).toMatchObject({ rules: ['net.gateway 9'], changes: [] });
    expect(await repaired({ gateway: '192.0.2.1' })).toBe(STATIC);
  });

  it('gets an address with its mask where the mask stands', async () => {
    await write(interfaces, STATIC);
    expect(await repaired({ address: '192.0.2.130/25', gateway: '192.0.2.129' })).toBe(
      STATIC.replace('192.0.2.7', '192.0.2.130')
        .replace('255.255.255.0', '255.255.255.128')
        .replace('gateway 192.0.2.1\n', 'gateway 192.0.2.129\n'),
    );
  });

  it('is made static where it asked for an address', async () => {
    await write(interfaces, 'auto ens3\niface ens3 inet dhcp\n');
    expect(await repaired({ address: '192.0.2.7/24', gateway: '192.0.2.1' })).toBe(
      'auto ens3\niface ens3 inet static\n    gateway 192.0.2.1\n    address 192.0.2.7/24\n',
    );
  });

  it('is not told what may be meant for another of its interfaces', async () => {
    await write(interfaces, `${STATIC}auto ens4\niface ens4 inet static\n    address 10.0.0.1/8\n`);
    expect((await look({ gateway: '192.0.2.9' })).changes).toEqual([]);
    expect(await repaired({ gateway: '192.0.2.9', interface: 'ens3' })).toContain(
      'gateway 192.0.2.9',
    );
  });

  it('names the interface as the order does, everywhere', async () => {
    const more = 'auto ens3.7\niface ens3.7 inet static\n    address 10.7.0.1/24\n';
    await write(interfaces, (STATIC + more).replaceAll('ens3', 'eth0'));
    expect(await repaired({ interface: 'ens3' })).toBe(STATIC + more);
  });

  it.each(['eth(0', '(x+)+y'])('passes over %s, which is no name of an interface', async (name) => {
    await write(interfaces, `iface ${name} inet dhcp\n    up ip link set xxy\n`);
    expect((await look({ interface: 'eth0' })).changes).toEqual([]);
  });

  it('is suspected of an old name only where udev gives new ones', async () => {
    await write(interfaces, STATIC.replaceAll('ens3', 'eth0'));
    expect((await look()).rules).toEqual([]);
    await write('/usr/lib/systemd/network/99-default.link', '');
    expect(await look()).toMatchObject({ rules: ['net.if_mismatch 6'], changes: [] });
    await write('/etc/default/grub', 'GRUB_CMDLINE_LINUX="net.ifnames=0"\n');
    expect((await look()).rules).toEqual([]);
    await write(interfaces, STATIC);
    expect((await look()).rules).toEqual(['net.if_mismatch 6']);
  });

  it('is looked at in the files that it takes in', async () => {
    await write(interfaces, 'source /etc/network/interfaces.d/*\n');
    await write('/etc/network/interfaces.d/ens3', STATIC.replace('gateway', 'gatway'));
    await write('/etc/network/interfaces.d/ens3.bak', STATIC.replace('gateway', 'gatway'));
    expect((await look()).changes).toMatchObject([{ path: '/etc/network/interfaces.d/ens3' }]);
  });
});

const YAML = [
  'network:',
  '  version: 2',
  '  renderer: networkd',
  '  ethernets:',
  '    ens3: # the only one',
  '      dhcp4: false',
  '      addresses: [192.0.2.7/24]',
  '      nameservers:',
  '        addresses:',
  '        - 192.0.2.53',
  '      routes:',
  '        - to: default',
  '          via: 192.0.2.1',
  '        - to: 10.0.0.0/8',
  '          via: 192.0.2.9',
  '',
].join('\n');

describe('secrets of the network', () => {
  it.each([
    ['/etc/network/interfaces', 'auto w\niface w inet dhcp\n    wpa-pks hunter2 # of home\n'],
    ['/etc/netplan/a.yaml', 'network:\n  wifis:\n    w:\n      password: "hunter2\n'],
    [
      '/etc/netplan/a.yaml',
      'network:\n  wifis:\n    w:\n      pasword: |\n      - x\n        hunter2\n',
    ],
  ])('of %s are in no finding and in no plan', async (path, text) => {
    await service('networking.service');
    await write(path, text);
    const { rules, texts, changes } = await look();
    expect(rules).toContainEqual(expect.stringMatching(/config_bad/));
    expect(JSON.stringify(texts)).not.toContain('hunter2');
    for (const change of changes) {
      const shown = change.kind === 'file' ? change.shown!(String(change.content)) : '';
      expect(shown).not.toContain('hunter2');
    }
  });
});

describe('what netplan is told', () => {
  const file = '/etc/netplan/01.yaml';
  beforeEach(() => service('systemd-networkd.service'));

  it('is left alone where it is right, as netplan itself finds', async () => {
    await write(file, YAML, 0o600);
    expect(await look({ address: '192.0.2.7/24', gateway: '192.0.2.1' })).toMatchObject({
      rules: [],
      changes: [],
    });
  });

  it.each([
    ['dhcp4: false', 'dhcp4: flase', 6],
    ['addresses: [192.0.2.7/24]', 'addresses: 192.0.2.7/24', 7],
    ['addresses: [192.0.2.7/24]', 'addresses: [192.0.2.7/24', 7],
    ['dhcp4: false', 'dhcp4:false', 6],
    ['nameservers', 'nameserver', 8],
    ['      dhcp4: false', '\t\tdhcp4: false', 6],
    ['ethernets', 'ethernts', 4],
  ])('has %j corrected where it says %j', async (right, wrong, line) => {
    await write(file, YAML.replace(right, wrong), 0o600);
    expect((await look()).rules).toEqual([`net.config_bad ${line}`]);
    const corrected = await repaired();
    // A tab is as wide as it has to be.
    expect(corrected?.replace(/^ +dhcp4/m, '      dhcp4')).toBe(YAML);
  });

  it.each([
    ['via: 192.0.2.1', 'via: 192.0.2.1000'],
    ['    ens3:', '   }ens3'],
    ['      dhcp4: false', '     dhcp4: false'],
  ])('is told of and left alone where %j became %j', async (right, wrong) => {
    await write(file, YAML.replace(right, wrong), 0o600);
    expect(await look()).toMatchObject({
      rules: [expect.stringMatching(/config_bad/)],
      changes: [],
    });
  });

  it.each(['eth(0', '(x+)+y', 'eth0.100'])(
    'calls %s another name only as it stands',
    async (name) => {
      const device = (own: string) =>
        `network:\n  ethernets:\n    "${own}":\n      nameservers: {search: [eth0x100, xxy]}\n`;
      await write('/etc/netplan/a.yaml', device(name));
      const after = await repaired({ interface: 'eth0' });
      expect(after).toBe(name === 'eth0.100' ? device('eth0') : undefined);
    },
  );

  it('gets gateway, address and name from the order alone', async () => {
    await write(file, YAML.replace('via: 192.0.2.1\n', 'via: 198.51.100.1\n'), 0o600);
    expect(await look()).toMatchObject({ rules: ['net.gateway 13'], changes: [] });
    expect(await repaired({ gateway: '192.0.2.1' })).toBe(YAML);
    await write(file, YAML.replaceAll('ens3', 'eth0'), 0o600);
    expect(await repaired({ interface: 'ens3' })).toBe(YAML);
    expect(await repaired({ address: '192.0.2.8/24' })).toContain('addresses: [192.0.2.8/24]');
  });
});

describe('profiles of NetworkManager', () => {
  const profile = '/etc/NetworkManager/system-connections/wired.nmconnection';
  const text = [
    '[connection]',
    'id=wired',
    'type=ethernet',
    'interface-name=ens3',
    '',
    '[ipv4]',
    'method=manual',
    'address1=192.0.2.7/24,192.0.2.1',
    '',
  ].join('\n');
  beforeEach(() => service('NetworkManager.service'));

  it('are left alone where they are right', async () => {
    await write(profile, text, 0o600);
    expect(await look({ gateway: '192.0.2.1' })).toMatchObject({ rules: [], changes: [] });
  });

  it('are made private, for NetworkManager passes over others', async () => {
    await write(profile, text, 0o644);
    expect(await look()).toMatchObject({
      rules: ['net.config_bad'],
      changes: [{ path: profile, content: text, corrects: { mode: 0o600, uid: 0, gid: 0 } }],
    });
  });

  it('are used at boot, where one alone is there', async () => {
    const off = text.replace('id=wired', 'autoconnect=false\nid=wired');
    await write(profile, off, 0o600);
    expect(await repaired()).toBe(off.replace('=false', '=true'));
    await write(profile.replace('wired', 'other'), text, 0o600);
    expect((await look()).changes).toEqual([]);
  });

  it('get what the order says', async () => {
    await write(profile, text.replace('192.0.2.1\n', '198.51.100.1\n'), 0o600);
    expect(await look()).toMatchObject({ rules: ['net.gateway'], changes: [] });
    expect(await repaired({ gateway: '192.0.2.1' })).toBe(text);
    expect(await repaired({ gateway: '192.0.2.1', nameservers: ['192.0.2.53'] })).toContain(
      '[ipv4]\ndns=192.0.2.53;\nmethod=manual',
    );
  });

  it('show no secret in a plan', async () => {
    await write(profile, `${text}[802-1x]\npassword=hunter2\n`, 0o644);
    const [change] = (await look()).changes;
    const shown = change?.kind === 'file' ? change.shown?.(String(change.content)) : '';
    expect(shown).toContain('password=…');
  });

  it('of Red Hat are used at boot', async () => {
    const ifcfg = '/etc/sysconfig/network-scripts/ifcfg-ens3';
    await write(ifcfg, 'DEVICE=ens3\nONBOOT=no\nBOOTPROTO=dhcp\n');
    expect(await repaired()).toBe('DEVICE=ens3\nONBOOT=yes\nBOOTPROTO=dhcp\n');
  });
});

describe('files of systemd-networkd', () => {
  it('get what the order says', async () => {
    await service('systemd-networkd.service');
    const text = '[Match]\nName=ens3\n[Network]\nAddress=192.0.2.7/24\nGateway=192.0.2.1\n';
    await write('/etc/systemd/network/10.network', text.replace('=192.0.2.1\n', '=10.0.0.1\n'));
    expect(await look()).toMatchObject({ rules: ['net.gateway'], changes: [] });
    expect(await repaired({ gateway: '192.0.2.1', interface: 'ens3' })).toBe(text);
  });
});

describe('the service that sets the network up', () => {
  const unit = 'networking.service';
  const wants = `/etc/systemd/system/multi-user.target.wants/${unit}`;
  beforeEach(() => write('/etc/network/interfaces', STATIC));

  it('is unmasked', async () => {
    await service(unit);
    await link(`/etc/systemd/system/${unit}`, '/dev/null');
    expect(await look()).toMatchObject({
      rules: ['net.service_off'],
      changes: [{ kind: 'link', path: `/etc/systemd/system/${unit}`, target: null }],
    });
  });

  it('is enabled', async () => {
    await service(unit, false);
    expect(await look()).toMatchObject({
      rules: ['net.service_off'],
      changes: [{ kind: 'link', path: wants, target: `/lib/systemd/system/${unit}` }],
    });
  });

  it('is not chosen where several have a configuration, or another one is on', async () => {
    await service(unit, false);
    await service('systemd-networkd.service', false);
    await write('/etc/systemd/network/10.network', '[Match]\nName=ens4\n');
    expect(await look()).toMatchObject({ rules: ['net.service_off'], changes: [] });
    await service('systemd-networkd.service');
    expect((await look()).rules).toEqual([]);
  });
});

describe('resolv.conf', () => {
  const file = '/etc/resolv.conf';
  const nameservers = ['192.0.2.53', '192.0.2.54'];

  it('that names nobody names those of the order, and keeps the rest', async () => {
    await write(file, 'search example.test\n');
    expect(await look()).toMatchObject({ rules: ['net.dns'], changes: [] });
    expect(await repaired({ nameservers })).toBe(
      'search example.test\nnameserver 192.0.2.53\nnameserver 192.0.2.54\n',
    );
  });

  it('that leads nowhere leads to a list of its own', async () => {
    await link(file, '../run/systemd/resolve/stub-resolv.conf');
    expect(await look({ nameservers })).toMatchObject({
      rules: ['net.dns'],
      changes: [
        { path: '/etc/resolv.conf.static', content: expect.stringContaining('192.0.2.54') },
        { kind: 'link', path: file, target: 'resolv.conf.static' },
      ],
    });
  });

  it('that a service fills once it runs is left to it', async () => {
    await link(file, '../run/systemd/resolve/stub-resolv.conf');
    await service('systemd-resolved.service');
    expect(await look({ nameservers })).toMatchObject({ rules: [], changes: [] });
  });
});

describe('cloud-init', () => {
  const own = '/etc/network/interfaces.d/50-cloud-init';
  const marker = '# This file is generated from information provided by the datasource.\n';
  const later = (path: string) => execFileSync('touch', ['-d', '+1 hour', join(root, path)]);
  beforeEach(async () => {
    await service('networking.service');
    await write('/etc/cloud/cloud.cfg', 'datasource_list: [ NoCloud ]\n');
    await write('/var/lib/cloud/instance/boot-finished', '');
    await write('/etc/network/interfaces', 'source /etc/network/interfaces.d/*\n');
    await write(own, `${marker}auto ens3\niface ens3 inet dhcp\n`);
  });

  it('keeps a network that it alone has set up', async () => {
    expect(await look()).toMatchObject({ rules: [], changes: [] });
  });

  it('is kept from taking back what people have changed since', async () => {
    later(own);
    expect(await repaired()).toBe('network: {config: disabled}\n');
    await write(
      '/etc/cloud/cloud.cfg.d/99-disable-network-config.cfg',
      'network: {config: disabled}\n',
    );
    expect((await look()).rules).toEqual([]);
  });

  it('is kept from setting up beside people what they have set up', async () => {
    await write('/etc/network/interfaces', `source /etc/network/interfaces.d/*\n${STATIC}`);
    expect((await look()).rules).toEqual(['net.cloudinit_owner 1']);
  });
});
