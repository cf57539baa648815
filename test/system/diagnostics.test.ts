import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../proto/actions/diagnostics.ts';
import { OptedInServer } from '../harness/opted-in-server.ts';

let server: OptedInServer;
let grant: { number: number };

beforeAll(async () => {
  server = await OptedInServer.start();
  grant = await server.stack.authorize('diagnostics.*');
}, 600_000);
afterAll(() => server?.close());

interface Diagnosed {
  class: string;
  state: string;
  result: DiagnosticsResult;
  difference: { new: Named[]; gone: Named[]; same: Named[] } | null;
}
type Named = { rule: string; subject: string };

const diagnose = () => server.stack.json<Diagnosed>('lead', 'diagnose', 'web-04');
const named = (list: readonly Named[]) => list.map(({ rule, subject }) => `${rule} ${subject}`);
const inside = (...argv: string[]) => server.debian.ok(argv);
const write = (file: string, ...lines: string[]) =>
  server.debian.write(file, `${lines.join('\n')}\n`);

describe('a server with systemd that is diagnosed', () => {
  it('is looked at without a question, and nothing of what is well is named', async () => {
    const { state, result, difference, class: cls } = await diagnose();
    expect({ state, cls, difference }).toEqual({ state: 'succeeded', cls: 'A', difference: null });
    expect(result.durationMs).toBeLessThan(5_000);
    expect(result.facts).toMatchObject({ hostname: server.debian.name, sshPorts: [22] });
    const rules = new Set(result.findings.map(({ rule }) => rule));
    const well = [
      'sys.modes',
      'svc.failed_unit',
      'svc.masked_unit',
      'ssh.config_bad',
      'ssh.not_listening',
    ];
    for (const rule of [...well, 'ssh.unit_off', 'fw.blocks_mgmt', 'pkg.half_configured']) {
      expect(rules).not.toContain(rule);
    }
    const failed = result.probes.filter(({ outcome }) => outcome === 'probe_failed');
    expect(failed.filter(({ detail }) => !detail.endsWith('is not installed'))).toEqual([]);
  });

  it('is named what is wrong with it, as new since the last time', async () => {
    await write('/etc/systemd/system/broken.service', '[Service]', 'ExecStart=/bin/false');
    await inside('systemctl', 'daemon-reload');
    await server.debian.exec(['systemctl', 'start', 'broken.service']);
    await inside('systemctl', 'mask', 'nginx.service');
    await write('/etc/ssh/sshd_config.d/bad.conf', 'PermitRootLogn yes');
    await write('/etc/fstab', 'UUID=11111111-2222-4333-8444-555555555555 /data ext4 defaults 0 2');
    await write('/etc/nologin', 'maintenance');
    await write('/run/reboot-required', 'restart required');
    await write('/etc/apt/sources.list.d/bad.list', 'deb http://mirror.example/debian');
    const rules =
      'add table inet f; add chain inet f in { type filter hook input priority 0; policy drop; iif lo accept; }';
    await inside('nft', rules);
    await inside(
      'sed',
      '-i',
      '/^Package: nginx-light$/,/^$/s/install ok installed/install ok half-configured/',
      '/var/lib/dpkg/status',
    );
    await inside('logger', '-p', 'daemon.err', '-t', 'tester', 'something is wrong');
    const { result, difference } = await diagnose();
    const expected = [
      'fw.blocks_mgmt port 22',
      'ssh.config_bad /etc/ssh/sshd_config.d/bad.conf',
      'svc.failed_unit broken.service',
      'svc.masked_unit nginx.service',
      'pkg.half_configured nginx-light',
      'pkg.sources /etc/apt/sources.list.d/bad.list:1',
      'sys.reboot_pending packages',
      'log.boot_errors tester',
    ];
    expect(named(difference!.new)).toEqual(expect.arrayContaining(expected));
    expect(result.findings.map(({ rule }) => rule)).toContain('fstab.missing_source');
    const broken = result.findings.find(({ subject }) => subject === 'broken.service')!;
    expect(broken.suggestion).toEqual({
      action: 'service.restart',
      parameters: { unit: 'broken.service' },
    });
    expect(JSON.stringify(broken.evidence)).toContain('Result=exit-code');
  });

  it('is not changed by it', async () => {
    const digest = () =>
      inside(
        'sh',
        '-c',
        'find /etc /boot /usr/bin /var/lib/dpkg -type f -exec sha256sum {} + | sort | sha256sum; find /etc -printf "%p %m %U %C@\\n" | sort | sha256sum',
      );
    const before = await digest();
    const units = await inside('systemctl', 'list-units', '--failed', '--plain', '--no-legend');
    await diagnose();
    expect(await digest()).toBe(before);
    expect(await inside('systemctl', 'list-units', '--failed', '--plain', '--no-legend')).toBe(
      units,
    );
    expect(await inside('nft', 'list', 'ruleset')).toContain('policy drop');
  });

  it('is told what is gone after a repair, on a page that people read', async () => {
    await inside('systemctl', 'reset-failed', 'broken.service');
    await inside('systemctl', 'unmask', 'nginx.service');
    await inside('rm', '/etc/ssh/sshd_config.d/bad.conf');
    await inside('nft', 'flush', 'ruleset');
    const done = await server.stack.cli('lead', 'diagnose', 'web-04');
    expect(done.status).toBe(0);
    const gone = done.stdout.split('\n').filter((line) => line.split('\t')[1] === 'gone');
    for (const rule of ['svc.failed_unit', 'svc.masked_unit', 'ssh.config_bad', 'fw.blocks_mgmt']) {
      expect(
        gone.some((line) => line.split('\t')[2] === rule),
        rule,
      ).toBe(true);
    }
    expect(done.stderr).toMatch(/critical, .* since \d+\/\d+: \d+ new, \d+ gone, \d+ same/);
  });

  it('is not looked at without the client’s permission', async () => {
    await server.stack.ok('carol', 'revoke', `G-${grant.number}`);
    const done = await server.stack.cli('lead', 'diagnose', 'web-04');
    expect(done.status).toBe(3);
    expect(done.stdout).toBe('');
  });
});
