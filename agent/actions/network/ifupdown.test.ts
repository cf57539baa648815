import { beforeEach, describe, expect, it } from 'vitest';
import {
  look,
  repaired,
  service,
  STATIC,
  write,
  useNetworkFiles,
} from './testing/network-files.ts';

useNetworkFiles();

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
