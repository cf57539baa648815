import { beforeEach, describe, expect, it } from 'vitest';
import { look, repaired, service, write, useNetworkFiles } from './testing/network-files.ts';

useNetworkFiles();

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
