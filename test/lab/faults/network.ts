import assert from 'node:assert/strict';
import { chmodSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { DatabaseSync } from 'node:sqlite';
import { TwoNetworks } from '../../../agent/actions/diagnostics/testing/two-networks.ts';
import type { FaultDisk } from '../fault-disk.ts';
import type { MountedSystem } from '../mounted-system.ts';
import type { Fault, RepairedFault } from './fault.ts';

type Given = Pick<RepairedFault, 'id' | 'title' | 'finding' | 'inject' | 'check'> &
  Partial<RepairedFault>;
const firewall = (fault: Given): RepairedFault => ({
  proof: 'repair',
  disk: 'bios-gpt',
  action: 'firewall.recover',
  undo: 'files',
  ...fault,
});
const network = (fault: Given): RepairedFault => ({
  ...firewall(fault),
  action: 'network.recover',
});

const DROP_ALL = [
  '#!/usr/sbin/nft -f',
  'flush ruleset',
  'table inet filter {',
  '\tchain input {',
  '\t\ttype filter hook input priority filter; policy drop;',
  '\t\tct state established,related accept',
  '\t\tiif lo accept',
  '\t\ttcp dport { 80, 443 } accept',
  '\t}',
  '}',
  '',
].join('\n');

const RULES_V4 = [
  '*filter',
  ':INPUT DROP [0:0]',
  ':FORWARD DROP [0:0]',
  ':OUTPUT ACCEPT [0:0]',
  '-A INPUT -i lo -j ACCEPT',
  '-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT',
  'COMMIT',
  '',
].join('\n');

/** As the package netfilter-persistent has it, which cannot be installed beside ufw. */
const RESTORES_RULES = [
  '[Unit]',
  'Description=netfilter persistent configuration',
  'Before=network-pre.target',
  '[Service]',
  'Type=oneshot',
  'RemainAfterExit=yes',
  'ExecStart=/usr/sbin/iptables-restore /etc/iptables/rules.v4',
  '[Install]',
  'WantedBy=multi-user.target',
  '',
].join('\n');

/** A connection from one network namespace to port 22 of another, in which the rules of the disk hold. */
async function requirePacketsToSsh(load: readonly string[]): Promise<void> {
  const networks = await TwoNetworks.create(22);
  try {
    const { exitStatus, err } = await networks.inServer(load);
    assert.equal(exitStatus, 0, err);
    assert.ok(await networks.connects(true, 5_000), 'no packet gets to port 22');
  } finally {
    networks.close();
  }
}

const enableNftables = (system: MountedSystem) =>
  system.hostOk(['systemctl', '--root=R', 'enable', 'nftables.service']);

async function installRules(system: MountedSystem, rules: string): Promise<void> {
  await system.ok(['mkdir', '/etc/iptables']);
  system.write('etc/iptables/rules.v4', rules);
  system.write('etc/systemd/system/netfilter-persistent.service', RESTORES_RULES);
  await system.hostOk(['systemctl', '--root=R', 'enable', 'netfilter-persistent.service']);
}

const requireOpenRules = (disk: FaultDisk) =>
  disk.look(async (system) => {
    await requirePacketsToSsh(['iptables-restore', system.path('etc/iptables/rules.v4')]);
  });

const interfaces = (change: (text: string) => string) => (disk: FaultDisk) =>
  disk.inside((system) => system.edit('etc/network/interfaces', change));

/** What ifupdown itself makes of the stanza. */
const requireInterface = (disk: FaultDisk) =>
  disk.look(async (system) => {
    const query = ['ifquery', '--interfaces=/etc/network/interfaces', 'enp0s3'];
    const answer = await system.ok(query);
    assert.match(answer, /^address: 10\.0\.2\.15$/m);
    assert.match(answer, /^netmask: 255\.255\.255\.0$/m);
    assert.match(answer, /^gateway: 10\.0\.2\.2$/m);
  });

const NETPLAN = [
  'network:',
  '  version: 2',
  '  renderer: networkd',
  '  ethernets:',
  '    enp0s3:',
  '      addresses: [10.0.2.15/24]',
  '      routes:',
  '        - to: default',
  '          via: 10.0.2.2',
  '',
].join('\n');

/** Gives the network of the disk to netplan and networkd, as Ubuntu has it. */
async function useNetplan(system: MountedSystem, text: string): Promise<void> {
  system.write('etc/netplan/01-network.yaml', text, 0o600);
  system.write('etc/network/interfaces', 'auto lo\niface lo inet loopback\n');
  await system.hostOk(['systemctl', '--root=R', 'enable', 'systemd-networkd.service']);
}

const PROFILE = [
  '[connection]',
  'id=wired',
  'type=ethernet',
  'interface-name=enp0s3',
  '',
  '[ipv4]',
  'method=manual',
  'address1=10.0.2.15/24,10.0.2.2',
  '',
].join('\n');
const PROFILE_FILE = 'etc/NetworkManager/system-connections/wired.nmconnection';
const BANS = 'var/lib/fail2ban/fail2ban.sqlite3';
const CLIENT = '198.51.100.7';

export const networkFaults: readonly Fault[] = [
  firewall({
    id: 'N01',
    title: 'nftables drops everything but the web',
    finding: 'fw.blocks_mgmt',
    inject: (disk) =>
      disk.inside(async (system) => {
        system.write('etc/nftables.conf', DROP_ALL);
        await enableNftables(system);
      }),
    check: (disk) =>
      disk.look((system) =>
        requirePacketsToSsh(['nft', '--file', system.path('etc/nftables.conf')]),
      ),
  }),
  firewall({
    id: 'N02',
    title: 'nftables.conf has a syntax error',
    finding: 'fw.syntax',
    inject: (disk) =>
      disk.inside(async (system) => {
        system.edit('etc/nftables.conf', (text) => text.replace('hook input', 'hok input'));
        await enableNftables(system);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        await system.hostOk([
          'unshare',
          '--net',
          'nft',
          '--check',
          '--file',
          'R/etc/nftables.conf',
        ]);
      }),
  }),
  firewall({
    id: 'N03',
    title: 'the saved rules of iptables drop everything but the web',
    finding: 'fw.blocks_mgmt',
    inject: (disk) => disk.inside((system) => installRules(system, RULES_V4)),
    check: requireOpenRules,
  }),
  firewall({
    id: 'N04',
    title: 'ufw is on and lets no SSH in',
    finding: 'fw.blocks_mgmt',
    inject: (disk) =>
      disk.inside(async (system) => {
        system.edit('etc/ufw/ufw.conf', (text) => text.replace('ENABLED=no', 'ENABLED=yes'));
        await system.hostOk(['systemctl', '--root=R', 'enable', 'ufw.service']);
      }),
    check: (disk) =>
      disk.look((system) => {
        for (const file of ['etc/ufw/user.rules', 'etc/ufw/user6.rules']) {
          assert.match(system.read(file), /^### tuple ### (allow|limit) (tcp|any) 22 /m);
          assert.match(system.read(file), /^-A ufw6?-user-input -p tcp --dport 22 -j ACCEPT$/m);
        }
      }),
  }),
  {
    id: 'N05',
    title: 'the zone of firewalld lets no SSH in',
    proof: 'live',
    test: 'test/system/firewalld.test.ts',
  },
  firewall({
    id: 'N06',
    title: "fail2ban has banned the client's address",
    // Which of the banned addresses is the client's nobody else can tell.
    finding: null,
    parameters: { unban: CLIENT },
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.hostOk(['systemctl', '--root=R', 'enable', 'fail2ban.service']);
        await system.ok(['mkdir', '-p', '/var/lib/fail2ban']);
        const made = `${disk.folder}/fail2ban.sqlite3`;
        const bans = new DatabaseSync(made);
        // The tables of fail2ban 1.0, and a ban for ever.
        bans.exec(
          'create table fail2banDb(version integer); insert into fail2banDb values (4);' +
            'create table jails(name text not null unique, enabled integer not null default 1);' +
            "insert into jails values ('sshd', 1);" +
            'create table bans(jail text not null, ip text, timeofban integer not null, bantime integer not null, bancount integer not null default 1, data json);' +
            'create table bips(ip text not null, jail text not null, timeofban integer not null, bantime integer not null, bancount integer not null default 1, data json, primary key(ip, jail));' +
            `insert into bips values ('${CLIENT}', 'sshd', 1793491200, -1, 1, '{}');` +
            `insert into bips values ('203.0.113.9', 'sshd', 1793491200, -1, 1, '{}');`,
        );
        bans.close();
        system.write(BANS, readFileSync(made), 0o600);
      }),
    check: (disk) =>
      disk.look((system) => {
        const read = `${disk.folder}/read.sqlite3`;
        writeFileSync(read, readFileSync(system.path(BANS)));
        const bans = new DatabaseSync(read);
        const banned = bans
          .prepare('select ip from bips')
          .all()
          .map(({ ip }) => ip);
        bans.close();
        // Only the client is let in again.
        assert.deepEqual(banned, ['203.0.113.9']);
      }),
  }),
  firewall({
    id: 'N07',
    title: 'hosts.deny keeps everybody from SSH',
    finding: 'fw.hosts_deny',
    inject: (disk) => disk.inside((system) => system.write('etc/hosts.deny', 'sshd: ALL\n')),
    check: (disk) =>
      disk.look((system) => assert.match(system.read('etc/hosts.allow'), /^sshd: ALL\n/)),
  }),
  network({
    id: 'N08',
    title: 'the configuration names an interface that is called otherwise now',
    finding: 'net.if_mismatch',
    parameters: { interface: 'enp0s3' },
    inject: interfaces((text) => text.replaceAll('enp0s3', 'eth0')),
    check: requireInterface,
  }),
  network({
    id: 'N09',
    title: 'a stanza of ifupdown has errors',
    finding: 'net.config_bad',
    inject: interfaces((text) => text.replace('inet static', 'inet statik')),
    check: requireInterface,
  }),
  network({
    id: 'N10',
    title: "netplan's configuration has errors",
    finding: 'net.config_bad',
    inject: (disk) =>
      disk.inside((system) =>
        useNetplan(system, NETPLAN.replace('[10.0.2.15/24]', '10.0.2.15/24')),
      ),
    check: (disk) =>
      disk.look(async (system) => {
        const place = '/tmp/generated';
        await system.ok(['mkdir', '-p', `${place}/etc`]);
        await system.ok(['cp', '-a', '/etc/netplan', `${place}/etc`]);
        await system.ok(['netplan', 'generate', '--root-dir', place]);
        const made = await system.ok(['find', place, '-name', '*.network']);
        assert.match(await system.ok(['cat', made.trim()]), /^Gateway=10\.0\.2\.2$/m);
      }),
  }),
  network({
    id: 'N11',
    title: 'the gateway lies outside of the network',
    finding: 'net.gateway',
    parameters: { gateway: '10.0.2.2' },
    inject: interfaces((text) => text.replace('gateway 10.0.2.2', 'gateway 10.9.9.1')),
    check: requireInterface,
  }),
  network({
    id: 'N12',
    title: 'NetworkManager ignores its profile, which everybody may read',
    finding: 'net.config_bad',
    inject: (disk) =>
      disk.inside(async (system) => {
        system.write('etc/network/interfaces', 'auto lo\niface lo inet loopback\n');
        system.write(PROFILE_FILE, PROFILE);
        chmodSync(system.path(PROFILE_FILE), 0o644);
        await system.hostOk(['systemctl', '--root=R', 'enable', 'NetworkManager.service']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const mode = await system.ok(['stat', '-c', '%a %U', `/${PROFILE_FILE}`]);
        assert.equal(mode, '600 root\n');
      }),
  }),
  network({
    id: 'N13',
    title: 'the service that raises the network is masked',
    finding: 'net.service_off',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.hostOk(['systemctl', '--root=R', 'mask', 'networking.service']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const { stdout } = await system.host(['systemctl', '--root=R', 'is-enabled', 'networking']);
        assert.equal(stdout, 'enabled\n');
      }),
  }),
  network({
    id: 'N14',
    title: 'resolv.conf is a link to nothing',
    finding: 'net.dns',
    parameters: { nameservers: ['10.0.2.3'] },
    inject: (disk) =>
      disk.inside((system) => {
        rmSync(system.path('etc/resolv.conf'));
        symlinkSync('../run/systemd/resolve/stub-resolv.conf', system.path('etc/resolv.conf'));
      }),
    check: (disk) =>
      disk.look(async (system) => {
        assert.match(await system.ok(['cat', '/etc/resolv.conf']), /^nameserver 10\.0\.2\.3$/m);
      }),
  }),
  network({
    id: 'N15',
    title: 'cloud-init would write the network anew at the next boot',
    finding: 'net.cloudinit_owner',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['mkdir', '-p', '/etc/cloud/cloud.cfg.d', '/var/lib/cloud/instance']);
        const marker = '# This file is generated from information provided by the datasource.\n';
        system.write(
          'etc/network/interfaces.d/50-cloud-init',
          `${marker}# Changes to it will not persist across an instance reboot.\n`,
        );
        system.write('etc/cloud/cloud.cfg', 'datasource_list: [ NoCloud ]\n');
      }),
    check: (disk) =>
      disk.look((system) => {
        const file = 'etc/cloud/cloud.cfg.d/99-disable-network-config.cfg';
        assert.match(system.read(file), /^network:\s*\{?\s*config: disabled/m);
      }),
  }),
];
