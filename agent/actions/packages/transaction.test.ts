import { describe, expect, it } from 'vitest';
import { readSimulation, refuseForbidden } from './transaction.ts';

// What apt 2.6.1 printed.
const SIMULATED = `Reading package lists...
Building dependency tree...
The following packages will be REMOVED:
  rival
The following NEW packages will be installed:
  beta
The following held packages will be changed:
  alpha
The following packages will be DOWNGRADED:
  alpha
0 upgraded, 1 newly installed, 1 downgraded, 1 to remove and 0 not upgraded.
Remv rival [1.0]
Inst libc6 [2.36-9+deb12u9] (2.36-9+deb12u10 Debian:12.11/stable, Debian-Security:12/stable-security [amd64]) [libc6:i386 ]
Inst libc6:i386 [2.36-9+deb12u9] (2.36-9+deb12u10 Debian:12.11/stable [i386]) []
Inst beta (1:1.0~rc1 localhost [all])
Conf beta (1:1.0~rc1 localhost [all])
Conf left-unpacked (2.0 localhost [amd64])
`;

const read = (out: string) => readSimulation({ out, truncated: false });

describe('what apt-get --simulate prints', () => {
  it('is read with versions and architectures, in one order', () => {
    expect(read(SIMULATED)).toEqual({
      packages: [
        { name: 'beta', architecture: 'all', from: null, to: '1:1.0~rc1' },
        {
          name: 'libc6',
          architecture: 'amd64',
          from: '2.36-9+deb12u9',
          to: '2.36-9+deb12u10',
        },
        { name: 'libc6', architecture: 'i386', from: '2.36-9+deb12u9', to: '2.36-9+deb12u10' },
      ],
      configured: ['left-unpacked'],
      removed: ['rival'],
      downgraded: ['alpha'],
      held: ['alpha'],
    });
  });

  it('is not believed when it was cut', () => {
    expect(() => readSimulation({ out: SIMULATED, truncated: true })).toThrow(/too many packages/);
  });
});

describe('what is never done', () => {
  const none = { removed: [], downgraded: [], held: [] };

  it.each([
    ['removed', 'would_remove'],
    ['held', 'would_change_held'],
    ['downgraded', 'would_downgrade'],
  ] as const)('%s packages are named and refused', (kind, reason) => {
    const refuse = () => refuseForbidden({ ...none, [kind]: ['alpha', 'beta'] });
    expect(refuse).toThrow(expect.objectContaining({ reason }));
    expect(refuse).toThrow('alpha, beta');
  });

  it('leaves the rest alone', () => {
    expect(() => refuseForbidden(none)).not.toThrow();
  });
});
