import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  link,
  look,
  root,
  service,
  STATIC,
  useNetworkFiles,
  write,
} from './testing/network-files.ts';

useNetworkFiles();

const OWN = '/etc/systemd/system';
const NETWORKD = '/etc/systemd/network/10.network';
const PROFILE = '/etc/NetworkManager/system-connections/wired.nmconnection';
const SETTINGS = '/etc/NetworkManager/NetworkManager.conf';
const profile = (...lines: string[]) =>
  ['[connection]', 'type=ethernet', ...lines, '', '[ipv4]', 'method=auto', ''].join('\n');
const mask = (unit: string) => ({ kind: 'link', path: `${OWN}/${unit}`, target: '/dev/null' });
const MASKED_NETWORKD = ['systemd-networkd.socket', 'systemd-networkd.service'].map(mask);

beforeEach(async () => {
  await service('networking.service');
  await write('/etc/network/interfaces', STATIC);
});

describe('an interface that ifupdown and systemd-networkd both set up', () => {
  beforeEach(async () => {
    await service('systemd-networkd.service');
    await write(NETWORKD, '[Match]\nName=ens3\n\n[Network]\nDHCP=yes\n');
  });

  it('is told, and given to nobody that the order does not name', async () => {
    const { rules, whys, changes } = await look();
    expect([rules, changes]).toEqual([['net.two_managers 2'], []]);
    expect(whys).toEqual([
      `networking.service and systemd-networkd.service both set ens3 up at boot (/etc/network/interfaces, ${NETWORKD}): say with manager=… whose it is`,
    ]);
    expect((await look({ manager: 'NetworkManager' })).changes).toEqual([]);
  });

  it("is the one's that the order names: the other is masked", async () => {
    expect((await look({ manager: 'ifupdown' })).changes).toEqual(MASKED_NETWORKD);
    expect((await look({ manager: 'systemd-networkd' })).changes).toEqual([
      mask('networking.service'),
    ]);
    for (const { path, target } of MASKED_NETWORKD) await link(path, target);
    expect(await look({ manager: 'ifupdown' })).toMatchObject({ rules: [], changes: [] });
  });

  it.each([
    ['another interface', '[Match]\nName=ens4\n'],
    ['whatever fits a pattern', '[Match]\nName=en*\n'],
    ['whatever has an address', '[Match]\nMACAddress=52:54:00:12:34:56\n'],
    ['a bridge', '[NetDev]\nName=br0\nKind=bridge\n', 'netdev'],
  ])('keeps a service that sets up %s as well', async (_, text, kind = 'network') => {
    await write(`/etc/systemd/network/20.${kind}`, text);
    const { whys, changes } = await look({ manager: 'ifupdown' });
    expect(changes).toEqual([]);
    expect(whys.join()).toContain('take ens3 out of its configuration by hand');
  });

  it.each([
    ['a VLAN', 'auto ens3.100\niface ens3.100 inet static\n  address 10.0.0.2/24\n'],
    ['a bridge', 'auto br0\niface br0 inet dhcp\n  bridge_ports ens4\n'],
  ])('keeps ifupdown where it sets up %s on top', async (_, stanza) => {
    await write('/etc/network/interfaces', `${STATIC}\n${stanza}`);
    const { whys, changes } = await look({ manager: 'systemd-networkd' });
    expect(changes).toEqual([]);
    expect(whys.join()).toContain('networking.service sets up more than');
  });

  it("keeps a service whose unit is the administrator's own", async () => {
    await write(`${OWN}/systemd-networkd.service`, '[Service]\nExecStart=/bin/true\n');
    expect((await look({ manager: 'ifupdown' })).changes).toEqual([]);
  });

  it.each([
    ['does not start', () => link(`${OWN}/systemd-networkd.service`, '/dev/null')],
    ['leaves it alone', () => write(NETWORKD, '[Match]\nName=ens3\n[Link]\nUnmanaged=yes\n')],
    ['is told of another', () => write(NETWORKD, '[Match]\nName=ens4\n')],
  ])('is none where one of them %s', async (_, change) => {
    await change();
    expect((await look()).rules).toEqual([]);
  });
});

describe('an interface that netplan hands to another than ifupdown', () => {
  it.each([
    ['networkd', 'systemd-networkd.service'],
    ['NetworkManager', 'NetworkManager.service'],
  ])('is told for its renderer %s', async (renderer, unit) => {
    await service(unit);
    const lines = ['network:', `  renderer: ${renderer}`, '  ethernets:', '    ens3:'];
    await write('/etc/netplan/a.yaml', [...lines, '      dhcp4: true', ''].join('\n'));
    const { rules, whys } = await look();
    expect(rules).toEqual(['net.two_managers 4']);
    expect(whys[0]).toContain(`networking.service and ${unit}`);
  });
});

it.each(['bridges', 'vlans', 'bonds'])(
  'netplan with %s on top keeps the service that sets them up',
  async (kind) => {
    await service('systemd-networkd.service');
    const lines = ['network:', '  ethernets:', '    ens3:', '      dhcp4: true', `  ${kind}:`];
    await write(
      '/etc/netplan/a.yaml',
      [...lines, '    more0:', '      dhcp4: true', ''].join('\n'),
    );
    const { rules, changes } = await look({ manager: 'ifupdown' });
    expect([rules, changes]).toEqual([['net.two_managers 3'], []]);
  },
);

describe('an interface of ifupdown that NetworkManager has a profile for', () => {
  beforeEach(async () => {
    await service('NetworkManager.service');
    await write(PROFILE, profile('interface-name=ens3'), 0o600);
  });

  it('is left to ifupdown as Debian builds it, and as its settings say', async () => {
    expect((await look()).rules).toEqual([]);
    await write(SETTINGS, '[main]\nplugins=ifupdown,keyfile\n[ifupdown]\nmanaged=false\n');
    expect((await look()).rules).toEqual([]);
    await write(
      SETTINGS,
      '[main]\nplugins=keyfile\n[keyfile]\nunmanaged-devices=interface-name:ens3\n',
    );
    expect((await look()).rules).toEqual([]);
  });

  it.each(['[ifupdown]\nmanaged=true\n', '[main]\nplugins=keyfile\n'])(
    'has two services where the settings read %j',
    async (settings) => {
      await write(SETTINGS, settings);
      expect((await look()).rules).toEqual(['net.two_managers 3']);
      const { changes } = await look({ manager: 'ifupdown' });
      expect(changes).toEqual([mask('NetworkManager.service')]);
      await write(PROFILE, profile('interface-name=ens3', 'autoconnect=false'), 0o600);
      expect((await look()).rules.join()).not.toContain('two_managers');
    },
  );
});

describe('services that are all off', () => {
  it('are one that the order names, which is enabled', async () => {
    const wants = `${OWN}/multi-user.target.wants`;
    await rm(join(root, `${wants}/networking.service`));
    await service('systemd-networkd.service', false);
    await write(NETWORKD, '[Match]\nName=ens3\n');
    expect(await look()).toMatchObject({ rules: ['net.service_off'], changes: [] });
    const unit = 'systemd-networkd.service';
    expect(await look({ manager: 'systemd-networkd' })).toMatchObject({
      rules: ['net.service_off'],
      changes: [{ kind: 'link', path: `${wants}/${unit}`, target: `/lib/systemd/system/${unit}` }],
    });
  });
});
