import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import {
  link,
  look,
  repaired,
  root,
  service,
  STATIC,
  write,
  useNetworkFiles,
} from './testing/network-files.ts';

useNetworkFiles();

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
