import { rm } from 'node:fs/promises';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { names, ProbeFixture, recorded, seenBy } from '../testing/probe-fixture.ts';
import { TwoNetworks } from '../testing/two-networks.ts';
import { iptablesChains } from './iptables-save.ts';
import { bannedClients, firewallFile, hostsDeny, ufwRules } from './firewall-files.ts';
import { managementPath } from './management-path.ts';
import { followPacket } from './packet-path.ts';

let system: ProbeFixture;
beforeEach(async () => {
  system = await ProbeFixture.create();
});
afterEach(() => system.close());

const PORT = 2222;
const none = { ...recorded(''), problem: 'not_applicable' as const };

const chain = (policy: string, ...rules: string[]) =>
  [
    'table inet filter { chain input {',
    `type filter hook input priority 0; policy ${policy};`,
    ...rules,
    '} }\n',
  ].join('\n');
/** nft wants a line end after a closing brace of a block. */
const asFile = (rules: string) =>
  `flush ruleset\n${rules.replaceAll(/\}(?=\s*\})/g, '}\n').replaceAll(/;\s*\}/g, ';\n}\n')}\n`;
const ESTABLISHED = 'ct state established,related accept';

const OPEN: readonly (readonly [string, string])[] = [
  ['nothing at all', ''],
  ['a policy that accepts', chain('accept', 'tcp dport 80 drop')],
  ['a rule for the port', chain('drop', ESTABLISHED, `tcp dport ${PORT} accept`)],
  ['a set of ports', chain('drop', `tcp dport { 80, 443, ${PORT} } accept`)],
  ['a range of ports', chain('drop', 'tcp dport 2000-3000 ct state new accept')],
  ['everything but one port', chain('drop', 'tcp dport != 80 accept')],
  ['a map of verdicts', chain('drop', `tcp dport vmap { 80 : drop, ${PORT} : accept }`)],
  [
    'a chain of its own',
    `table ip f { chain ssh { tcp dport ${PORT} accept; }
    chain in { type filter hook input priority 0; policy drop; ip protocol tcp jump ssh; } }`,
  ],
  [
    'a named set',
    `table inet f { set open { type inet_service; elements = { 22, ${PORT} } }
    chain in { type filter hook input priority 0; policy drop; tcp dport @open accept; } }`,
  ],
  [
    'a map of states before it',
    chain(
      'drop',
      'ct state vmap { established : accept, related : accept, invalid : drop }',
      `tcp dport ${PORT} accept`,
    ),
  ],
  ['a drop of what is invalid', chain('accept', 'ct state invalid drop')],
];

const BLOCKED: readonly (readonly [string, string])[] = [
  [
    'a policy that drops',
    chain('drop', ESTABLISHED, 'iif lo accept', 'tcp dport { 80, 443 } accept'),
  ],
  ['a rule for the port', chain('accept', `tcp dport ${PORT} drop`)],
  ['a reject', chain('accept', ESTABLISHED, 'meta l4proto tcp reject with tcp reset')],
  [
    'another table',
    `${chain('accept')} table ip late { chain in { type filter hook input priority 10; policy drop; } }`,
  ],
  [
    'a drop before all routes',
    'table ip raw { chain pre { type filter hook prerouting priority -300; policy accept; tcp dport 2000-3000 drop; } }',
  ],
  ['a drop that comes first', chain('drop', `tcp dport ${PORT} drop`, `tcp dport ${PORT} accept`)],
  [
    'a goto that does not come back',
    `table ip f { chain web { tcp dport 80 accept; }
    chain in { type filter hook input priority 0; policy drop; ip protocol tcp goto web; tcp dport ${PORT} accept; } }`,
  ],
  [
    'what firewalld makes of a zone without SSH',
    `table inet firewalld { chain zone { meta l4proto { icmp, ipv6-icmp } accept; reject with icmpx admin-prohibited; }
    chain in { type filter hook input priority 10; policy accept; ct state { established, related } accept
    ct status dnat accept; iifname "lo" accept; ct state invalid drop; goto zone; } }`,
  ],
  [
    'an accept for UDP alone',
    chain('drop', `udp dport ${PORT} accept`, 'icmp type echo-request accept'),
  ],
];

describe('the way in', { timeout: 60_000 }, () => {
  let networks: TwoNetworks;
  beforeAll(async () => {
    networks = await TwoNetworks.create(PORT);
  });
  afterAll(() => networks?.close());

  async function load(rules: string) {
    await system.write('rules.nft', asFile(rules));
    const loaded = await networks.inServer(['nft', '-f', system.path('rules.nft')]);
    expect(loaded.err).toBe('');
    const nft = await networks.inServer(['nft', '--json', 'list', 'ruleset']);
    await system.write('etc/ssh/sshd_config', `Port ${PORT}\nHostKey ${system.path('key')}\n`);
    await rm(system.path('key'), { force: true });
    await seenBy(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', system.path('key')]);
    return system.look(managementPath, { nft, iptables: none });
  }

  it.each(OPEN)('is open with %s, and a packet gets through', async (_, rules) => {
    expect(await load(rules)).toEqual([]);
    expect(await networks.connects(true)).toBe(true);
  });

  it.each(BLOCKED)('is blocked by %s, and no packet gets through', async (_, rules) => {
    expect(await load(rules)).toMatchObject([
      { rule: 'fw.blocks_mgmt', severity: 'critical', subject: `port ${PORT}` },
    ]);
    expect(await networks.connects(false)).toBe(false);
  });

  it.each([
    ['the sender', chain('drop', `ip saddr 10.99.0.2 tcp dport ${PORT} accept`), true],
    ['another sender', chain('drop', `ip saddr 10.50.0.0/16 tcp dport ${PORT} accept`), false],
    [
      'a map kept elsewhere',
      `table inet f { map ports { type inet_service : verdict; elements = { ${PORT} : accept } }
      chain in { type filter hook input priority 0; policy drop; tcp dport vmap @ports; } }`,
      true,
    ],
    ['how often', chain('drop', `tcp dport ${PORT} limit rate 5/second accept`), true],
    ['the interface', chain('drop', 'iifname "eth7" accept'), false],
  ])('is open to some when it depends on %s', async (_, rules, isOpenHere) => {
    expect(await load(rules)).toMatchObject([{ rule: 'fw.restricts_mgmt', severity: 'notice' }]);
    expect(await networks.connects(isOpenHere)).toBe(isOpenHere);
  });

  it('cannot be judged when nft gives no answer', async () => {
    await expect(
      system.look(managementPath, { nft: recorded('{'), iptables: none }),
    ).rejects.toThrow('nft');
  });
});

describe('rules of iptables', () => {
  const follow = (...rules: string[]) => followFrom(null, ...rules);
  const followFrom = (source: string | null, ...rules: string[]) =>
    followPacket(
      iptablesChains(
        [
          '*filter',
          ':INPUT DROP [0:0]',
          ':OUTPUT ACCEPT [0:0]',
          ':ssh - [0:0]',
          ...rules,
          'COMMIT',
        ].join('\n'),
        { port: 22, version: source?.includes(':') === true ? 6 : 4, source },
      ),
      'INPUT',
    ).outcome;

  it.each([
    ['-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT', 'open'],
    ['-A INPUT -p tcp -m multiport --dports 80,20:25 -j ACCEPT', 'open'],
    [
      '-A INPUT -p tcp -m conntrack --ctstate NEW,ESTABLISHED -m comment --comment "let -j DROP in" -j ACCEPT',
      'open',
    ],
    ['-A INPUT ! -i lo -j ACCEPT', 'open'],
    ['-A INPUT -m state --state RELATED,ESTABLISHED -j ACCEPT', 'blocked'],
    ['-A INPUT -i lo -j ACCEPT', 'blocked'],
    ['-A INPUT -p udp -m udp --dport 22 -j ACCEPT', 'blocked'],
    ['-A INPUT -p tcp ! --dport 22 -j ACCEPT', 'blocked'],
    ['-A INPUT -p tcp -j REJECT --reject-with tcp-reset', 'blocked'],
    ['-A INPUT -s 192.0.2.0/24 -p tcp -m tcp --dport 22 -j ACCEPT', 'some'],
    ['-A INPUT -p tcp --dport 22 -m limit --limit 5/min -j ACCEPT', 'some'],
    ['-A INPUT -p tcp -j LOG --log-prefix "a -j ACCEPT"', 'blocked'],
  ])('%s: %s', (rule, outcome) => {
    expect(follow(rule)).toBe(outcome);
  });

  it.each([
    ['192.0.2.7', '-s 192.0.2.0/24', 'open'],
    ['192.0.2.7', '-s 198.51.100.0/24', 'blocked'],
    ['192.0.2.7', '! -s 198.51.100.0/24', 'open'],
    ['192.0.2.0/24', '-s 192.0.2.7/32', 'some'],
    ['192.0.2.7', '-s 2001:db8::/32', 'blocked'],
    ['2001:db8::7', '-s 2001:db8::/32', 'open'],
    ['192.0.2.7', '-s not.an.address', 'some'],
  ])('from %s, accepted %s: %s', (source, rule, outcome) => {
    expect(followFrom(source, `-A INPUT ${rule} -p tcp --dport 22 -j ACCEPT`)).toBe(outcome);
  });

  it('are followed through chains, and back', () => {
    expect(follow('-A INPUT -p tcp -j ssh', '-A ssh -p tcp --dport 22 -j ACCEPT')).toBe('open');
    expect(follow('-A INPUT -j ssh', '-A ssh -j RETURN', '-A ssh -j ACCEPT')).toBe('blocked');
    expect(follow('-A INPUT -j ssh', '-A ssh -j ssh')).toBe('blocked');
  });

  it('count beside those of nftables', async () => {
    const saved = '*filter\n:INPUT DROP [0:0]\nCOMMIT\n';
    const found = await system.look(managementPath, { nft: none, iptables: recorded(saved) });
    expect(names(found)).toEqual(['fw.blocks_mgmt port 22']);
    expect(await system.look(managementPath, { nft: none, iptables: none })).toEqual([]);
  });
});

describe('the file of the firewall', () => {
  const check = async (rules: string) => {
    await system.write('rules.nft', rules);
    const path = system.path('rules.nft');
    return system.look(firewallFile, {
      'nft-file': await seenBy(['unshare', '--net', 'nft', '--check', '--file', path]),
    });
  };

  it('is well when it loads', async () => {
    expect(await check(asFile(chain('drop')))).toEqual([]);
  });

  it('does not load with an error, and the place is shown', async () => {
    const [found] = await check(
      'flush ruleset\ntable inet f { chain in { type filter hok input priority 0; } }\n',
    );
    expect(found).toMatchObject({
      rule: 'fw.syntax',
      severity: 'warning',
      evidence: [{ line: 2 }],
    });
  });

  it('is not called broken when the check itself fails', async () => {
    const denied = { ...recorded(''), exitStatus: 1, err: 'Operation not permitted' };
    await expect(system.look(firewallFile, { 'nft-file': denied })).rejects.toThrow(
      'not permitted',
    );
  });
});

describe('files that keep SSH out after a boot', () => {
  const enable = (unit: string) =>
    system.write(`etc/systemd/system/multi-user.target.wants/${unit}`, '');

  it('are those of ufw, where it is on and no rule of its own lets SSH in', async () => {
    await expect(system.look(ufwRules)).rejects.toThrow('not installed');
    await system.write('etc/ufw/user.rules', '*filter\n### RULES ###\nCOMMIT\n');
    await system.write('etc/ufw/ufw.conf', 'ENABLED=no\n');
    expect(await system.look(ufwRules)).toEqual([]);
    await system.write('etc/ufw/ufw.conf', 'ENABLED=yes\n');
    const [found] = await system.look(ufwRules);
    expect(found).toMatchObject({
      rule: 'fw.blocks_mgmt',
      evidence: [{ file: '/etc/ufw/user.rules' }],
      suggestion: { action: 'firewall.recover', parameters: {} },
    });
  });

  it('are hosts.deny, where sshd reads it and it names everybody', async () => {
    await system.write('etc/hosts.deny', 'sshd: ALL\n');
    expect(await system.look(hostsDeny)).toEqual([]);
    await system.write('usr/sbin/sshd', 'libwrap.so.0');
    expect(names(await system.look(hostsDeny))).toEqual(['fw.hosts_deny /etc/hosts.deny']);
    await system.write('etc/hosts.deny', 'sshd: 192.0.2.7\n');
    expect(await system.look(hostsDeny)).toEqual([]);
  });

  it('are the bans of fail2ban, which are told and never lifted unasked', async () => {
    const place = 'var/lib/fail2ban/fail2ban.sqlite3';
    await system.write(place, '');
    const database = new DatabaseSync(system.path(place));
    database.exec('create table bips(ip text, jail text)');
    await enable('fail2ban.service');
    expect(await system.look(bannedClients)).toEqual([]);
    database.exec("insert into bips values ('192.0.2.7', 'sshd'), ('192.0.2.7', 'recidive')");
    database.close();
    const [found] = await system.look(bannedClients);
    expect(found).toMatchObject({ severity: 'notice', suggestion: null });
    expect(found?.evidence).toMatchObject([{ text: '192.0.2.7' }]);
    await system.write(place, 'no database');
    await expect(system.look(bannedClients)).rejects.toThrow(/not a database/);
  });
});
