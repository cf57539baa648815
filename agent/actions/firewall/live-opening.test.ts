import { describe, expect, it } from 'vitest';
import type { NftBarrier } from './barrier.ts';
import { nftOpenings } from './live-opening.ts';

const barrier = (change: Partial<NftBarrier>, source: string | null = null): NftBarrier => ({
  ...{ family: 'inet', table: 'firewalld', chain: 'filter_IN_public', index: 8, handle: 72 },
  ...{ text: 'reject', isOwned: true, packet: { port: 22, version: 4, source } },
  ...change,
});

describe('a table that firewalld keeps to itself', () => {
  it('is opened, and closed again, by firewalld', () => {
    expect(nftOpenings(barrier({}), ['public', 'work'])).toEqual(
      ['public', 'work'].map((zone) => ({
        insert: ['firewall-cmd', `--zone=${zone}`, '--add-port=22/tcp'],
        remove: ['firewall-cmd', `--zone=${zone}`, '--remove-port=22/tcp'],
      })),
    );
  });

  it('is opened for one sender where the order names one', () => {
    const rule =
      'rich-rule=rule family="ipv4" source address="192.0.2.1" port port="22" protocol="tcp" accept';
    expect(nftOpenings(barrier({}, '192.0.2.1'), ['drop'])).toEqual([
      {
        insert: ['firewall-cmd', '--zone=drop', `--add-${rule}`],
        remove: ['firewall-cmd', '--zone=drop', `--remove-${rule}`],
      },
    ]);
  });

  it.each([
    ['another program', 'theirs', ['public']],
    ['no zone that is known', 'firewalld', []],
  ])('is left alone where it is of %s', (_, table, zones) => {
    expect(() => nftOpenings(barrier({ table }), zones)).toThrow(
      expect.objectContaining({ reason: 'rules_owned' }),
    );
  });

  it('of one that others may change gets a rule', () => {
    expect(nftOpenings(barrier({ isOwned: false }), [])[0]!.insert).toContain('position');
  });
});
