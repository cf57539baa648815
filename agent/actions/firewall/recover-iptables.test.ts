import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import {
  ACTION,
  BRIEF,
  inServer,
  networks,
  server,
  state,
  tables,
  withoutTags,
  useFirewallServer,
} from './testing/firewall-server.ts';

// Each test starts an agent of its own: one of every kind runs by default.
useFirewallServer();

describe('rules of iptables that shut SSH out', { timeout: 120_000 }, () => {
  beforeEach(() => inServer('nft', 'flush', 'ruleset'));

  it('are opened by the program that they belong to, and in the file that is loaded at boot', async () => {
    const rules = tables(
      '-A INPUT -i lo -j ACCEPT',
      '-A INPUT -p tcp -m tcp --dport 2000:3000 -j REJECT',
      '-A INPUT -p tcp --dport 80 -j ACCEPT',
    );
    server.write('/rules.v4', rules);
    await inServer('sh', '-c', `iptables-nft-restore <${server.folder}/rules.v4`);
    server.write('/etc/iptables/rules.v4', rules);
    server.enable('netfilter-persistent.service');
    const before = await state();
    expect(await networks.connects(false)).toBe(false);
    const { job, ended } = await server.confirmed(ACTION, BRIEF);
    expect(ended).toMatchObject({
      outcome: 'succeeded',
      result: { files: ['/etc/iptables/rules.v4'] },
    });
    expect(await networks.connects(true)).toBe(true);
    const lines = withoutTags('/etc/iptables/rules.v4').split('\n');
    expect(lines[5]).toBe(
      '-A INPUT -p tcp -m tcp --dport 2222 -m comment --comment intervene-TAG -j ACCEPT',
    );
    expect(lines.toSpliced(5, 1).join('\n')).toBe(rules);
    expect((await server.plan(ACTION, BRIEF)).plan.steps).toEqual([]);
    await server.undo(ACTION, BRIEF, job);
    expect(server.look()).toBe(before.slice(0, server.look().length));
    expect(await networks.connects(false)).toBe(false);
  });

  it.runIf(isWhole)(
    'are opened for ufw as ufw does it, so that it shows the rule as its own',
    async () => {
      execFileSync('cp', ['-a', '/etc/ufw', join(server.etc, 'ufw')]);
      server.write(
        '/etc/default/ufw',
        'IPV6=yes\nDEFAULT_INPUT_POLICY="DROP"\nDEFAULT_OUTPUT_POLICY="ACCEPT"\nDEFAULT_FORWARD_POLICY="DROP"\nDEFAULT_APPLICATION_POLICY="SKIP"\nMANAGE_BUILTINS=no\nIPT_SYSCTL=/dev/null\nIPT_MODULES=""\n',
      );
      server.write('/etc/ufw/ufw.conf', 'ENABLED=yes\nLOGLEVEL=off\n');
      const ufw = (...words: string[]) =>
        inServer(
          'unshare',
          '--mount',
          'sh',
          '-ec',
          'mount --bind "$1" /etc; shift; exec ufw "$@"',
          'sh',
          server.etc,
          ...words,
        );
      await ufw('--force', 'reload');
      expect(await networks.connects(false)).toBe(false);
      const before = server.look();
      const { job, ended } = await server.confirmed(ACTION, BRIEF);
      expect(ended).toMatchObject({
        result: { files: ['/etc/ufw/user.rules', '/etc/ufw/user6.rules'] },
      });
      expect(await networks.connects(true)).toBe(true);
      expect(await ufw('status')).toMatch(/2222\/tcp +ALLOW +Anywhere\s+2222\/tcp \(v6\) +ALLOW/);
      await ufw('--force', 'reload');
      expect(await networks.connects(true)).toBe(true);
      await server.undo(ACTION, BRIEF, job);
      expect(server.look()).toBe(before);
      await ufw('--force', 'reload');
      expect(await networks.connects(false)).toBe(false);
    },
  );
});
