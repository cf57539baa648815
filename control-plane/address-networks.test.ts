import { describe, expect, it } from 'vitest';
import { networksOf } from './address-networks.ts';

const keys = (address: string) => networksOf(address).map(({ key }) => key);

describe('the networks an address is counted with', () => {
  it.each([
    ['192.0.2.1', ['192.0.2.1']],
    ['::ffff:192.0.2.1', ['192.0.2.1']],
    ['::FFFF:c000:201', ['192.0.2.1']],
    ['2001:DB8:1:2:3:4:5:6', ['2001:db8:1:2::/64', '2001:db8:1::/48']],
    ['2001:0db8:0001::9', ['2001:db8:1:0::/64', '2001:db8:1::/48']],
    ['::1', ['0:0:0:0::/64', '0:0:0::/48']],
    ['1::', ['1:0:0:0::/64', '1:0:0::/48']],
    ['64:ff9b:0:0:0:0:192.0.2.1', ['64:ff9b:0:0::/64', '64:ff9b:0::/48']],
    ['::192.0.2.1', ['0:0:0:0::/64', '0:0:0::/48']],
    ['fe80::7%eth0', ['fe80:0:0:0::/64', 'fe80:0:0::/48']],
    ['unknown', ['unknown']],
    ['', ['']],
    ['f6a3c2f0-9a51-7c11-8f65-0f0e0d0c0b0a', ['f6a3c2f0-9a51-7c11-8f65-0f0e0d0c0b0a']],
  ])('%s: %j', (address, networks) => {
    expect(keys(address)).toEqual(networks);
  });

  it('allow a whole site more than one customer', () => {
    expect(networksOf('2001:db8::1').map(({ share }) => share)).toEqual([1, 16]);
  });
});
