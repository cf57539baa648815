import { symlink } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { ObservationName } from '../../../jobs/observation.ts';
import { names, ProbeFixture, recorded, seenBy } from '../testing/probe-fixture.ts';
import { addresses, isInNetwork } from './addresses.ts';
import { nameServers } from './name-servers.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
});
afterEach(() => system.close());

const LOOKS: readonly (readonly [ObservationName, string])[] = [
  ['addresses', 'ip -json address'],
  ['routes', 'ip -json route'],
  ['routes6', 'ip -json -6 route'],
];

/** Sets up a network of its own, and sees it there with the real ip(8). */
async function network(...commands: string[]) {
  const script = ['ip link set lo up', ...commands].join('\n');
  const seen = await Promise.all(
    LOOKS.map(async ([name, look]) => {
      const found = await seenBy(['unshare', '--net', 'sh', '-ec', `${script}\nexec ${look}`]);
      expect(found.err).toBe('');
      return [name, found] as const;
    }),
  );
  return Object.fromEntries(seen);
}

const CARD = [
  'ip link add eth0 type veth peer name far',
  'ip link set far up',
  'ip link set eth0 up',
];
const ADDRESS = 'ip address add 192.0.2.10/24 dev eth0';
const ROUTE = 'ip route add default via 192.0.2.1';

describe('addresses', () => {
  it('are well with a default route', async () => {
    expect(await system.look(addresses, await network(...CARD, ADDRESS, ROUTE))).toEqual([]);
  });

  it('are missing', async () => {
    expect(await system.look(addresses, await network(...CARD))).toMatchObject([
      { rule: 'net.gateway', subject: 'address', severity: 'critical' },
    ]);
  });

  it('lead nowhere without a default route', async () => {
    const found = await system.look(addresses, await network(...CARD, ADDRESS));
    expect(names(found)).toEqual(['net.gateway default route']);
  });

  it('do not reach the gateway', async () => {
    const onlink = 'ip route add default via 198.51.100.1 dev eth0 onlink';
    const found = await system.look(addresses, await network(...CARD, ADDRESS, onlink));
    expect(names(found)).toEqual(['net.gateway 198.51.100.1']);
  });

  it('reach a gateway that has a route of its own, as at some providers', async () => {
    const near = 'ip route add 198.51.100.1 dev eth0';
    const via = 'ip route add default via 198.51.100.1 dev eth0';
    expect(await system.look(addresses, await network(...CARD, ADDRESS, near, via))).toEqual([]);
  });

  it.each([
    ['etc/network/interfaces', 'auto lo eth9\niface eth9 inet dhcp\n', 'critical'],
    ['etc/network/interfaces.d/x', 'auto eth0\nauto eth9\n', 'warning'],
    ['etc/systemd/network/10.network', '[Match]\nName=eth9\n[Network]\nDHCP=yes\n', 'critical'],
  ])('are configured for an interface that is not there, in %s', async (file, text, severity) => {
    await system.write(file, text);
    const found = await system.look(addresses, await network(...CARD, ADDRESS, ROUTE));
    expect(found).toMatchObject([{ rule: 'net.if_mismatch', subject: 'eth9', severity }]);
    // The only one that no line is for is meant; of several nobody knows.
    const parameters = severity === 'critical' ? {} : { interface: 'far' };
    expect(found[0]!.suggestion).toEqual({ action: 'network.recover', parameters });
  });

  it.each([
    'auto eth0\nallow-hotplug eth7\n',
    'auto br0\niface br0 inet static\n  bridge_ports eth0\n',
    'auto eth0:1 eth0.5\n',
  ])('may be for one that is made later: %j', async (text) => {
    await system.write('etc/network/interfaces', text);
    expect(await system.look(addresses, await network(...CARD, ADDRESS, ROUTE))).toEqual([]);
  });

  it('cannot be judged when ip gives no answer', async () => {
    const seen = { addresses: recorded('{'), routes: recorded('[]'), routes6: recorded('[]') };
    await expect(system.look(addresses, seen)).rejects.toThrow('no readable answer');
  });

  it('are compared by their masks', () => {
    expect(isInNetwork('192.0.2.200', '192.0.2.1', 24)).toBe(true);
    expect(isInNetwork('192.0.2.200', '192.0.2.1', 25)).toBe(false);
    expect(isInNetwork('10.0.0.1', '192.0.2.1', 0)).toBe(true);
    expect(isInNetwork('::1', '192.0.2.1', 24)).toBe(false);
  });
});

describe('name servers', () => {
  it('are there', async () => {
    await system.write('etc/resolv.conf', 'search x\nnameserver 192.0.2.53\n');
    expect(await system.look(nameServers)).toEqual([]);
  });

  it('are found over the link of the system itself, not of this machine', async () => {
    await system.write('run/systemd/resolve/stub-resolv.conf', 'nameserver 127.0.0.53\n');
    await system.write('etc/hosts', '');
    await symlink('/run/systemd/resolve/stub-resolv.conf', system.path('etc/resolv.conf'));
    expect(await system.look(nameServers)).toEqual([]);
  });

  it.each([
    ['missing', null, 'is missing'],
    ['empty', '# nothing\n', 'names no server'],
  ])('are %s', async (_, text, why) => {
    if (text !== null) await system.write('etc/resolv.conf', text);
    const [found] = await system.look(nameServers);
    expect(found).toMatchObject({ rule: 'net.dns', severity: 'warning' });
    expect(found!.title).toContain(why);
  });

  it('are where a link leads that is broken', async () => {
    await system.write('etc/hosts', '');
    await symlink('../run/gone', system.path('etc/resolv.conf'));
    expect((await system.look(nameServers))[0]!.title).toContain('../run/gone');
  });
});
