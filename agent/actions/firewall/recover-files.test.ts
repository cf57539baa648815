import { beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import type { EndedRecord } from '../../jobs/journal-record.ts';
import {
  ACTION,
  BRIEF,
  inServer,
  load,
  networks,
  server,
  shutRules,
  tables,
  withoutTags,
  useFirewallServer,
} from './testing/firewall-server.ts';

// Each test starts an agent of its own: one of every kind runs by default.
useFirewallServer();

describe('files that are loaded at the next boot', { timeout: 120_000 }, () => {
  beforeEach(() => inServer('nft', 'flush', 'ruleset'));

  async function applied(): Promise<EndedRecord> {
    return server.end(await server.apply(ACTION, BRIEF));
  }

  it('with a misspelt word are corrected, and that they load nothing is said', async () => {
    const wrong = shutRules.replace('hook input', 'hok input');
    server.write('/etc/nftables.conf', wrong);
    server.enable('nftables.service');
    const { plan } = await server.plan(ACTION, BRIEF);
    expect(plan.findings[0]).toMatch(/nftables.conf:4: .*no firewall at all/);
    // Nothing that holds now changes, so that nobody has to confirm.
    expect(plan.steps.map(({ id }) => id)).toEqual(['nftables-file', 'verify']);
    expect(await applied()).toMatchObject({ outcome: 'succeeded', result: { outcome: 'opened' } });
    expect(server.read('/etc/nftables.conf')).toContain('type filter hook input');
    await load(server.read('/etc/nftables.conf'));
    expect(await networks.connects(true)).toBe(true);
    await inServer('nft', 'flush', 'ruleset');
  });

  it.runIf(isWhole)(
    'with an error that no word explains are left alone, and it is said',
    async () => {
      server.write('/etc/nftables.conf', shutRules.replace('policy drop;', 'policy drop; }'));
      server.enable('nftables.service');
      const { plan } = await server.plan(ACTION, BRIEF);
      expect(plan.steps).toEqual([]);
      expect(plan.findings[0]).toMatch(/Correct it by hand/);
    },
  );

  it.runIf(isWhole)('of iptables with a misspelt option are corrected', async () => {
    server.write('/etc/iptables/rules.v4', tables('-A INPUT -p tcp -m tcp --dprt 443 -j ACCEPT'));
    server.enable('netfilter-persistent.service');
    const { plan } = await server.plan(ACTION, BRIEF);
    expect(plan.findings[0]).toMatch(/rules.v4:5: /);
    expect(await applied()).toMatchObject({ outcome: 'succeeded' });
    expect(withoutTags('/etc/iptables/rules.v4')).toBe(
      tables(
        '-A INPUT -p tcp -m tcp --dport 443 -j ACCEPT',
        '-A INPUT -p tcp -m tcp --dport 2222 -m comment --comment intervene-TAG -j ACCEPT',
      ),
    );
  });

  it.runIf(isWhole)(
    'are looked at with what they include, and never where no unit loads them',
    async () => {
      server.write('/etc/nftables.conf', 'flush ruleset\ninclude "/etc/nftables.d/*.nft"\n');
      server.write('/etc/nftables.d/a.nft', shutRules.replace('flush ruleset\n', ''));
      expect((await server.plan(ACTION, BRIEF)).plan.steps).toEqual([]);
      server.enable('nftables.service');
      expect(await applied()).toMatchObject({ result: { files: ['/etc/nftables.conf'] } });
      expect(server.read('/etc/nftables.conf')).toMatch(/add rule inet filter input/);
    },
  );

  it('of hosts.allow let sshd in again, and hosts.deny stays', async () => {
    server.write(
      '/etc/hosts.deny',
      '# old\nsshd: ALL\nALL: 192.0.2.9\nsshd,vsftpd : ALL : spawn x\nin.telnetd: ALL\n',
    );
    const before = server.look();
    const job = await server.apply(ACTION, BRIEF);
    expect(await server.end(job)).toMatchObject({ result: { files: ['/etc/hosts.allow'] } });
    expect(server.read('/etc/hosts.allow')).toMatch(/^sshd: \S+\n/);
    await server.undo(ACTION, BRIEF, job);
    expect(server.look()).toBe(before);
  });
});
