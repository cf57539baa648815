import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BootedDebian } from '../harness/booted-debian.ts';
import { Daemon, eventually } from '../harness/process.ts';
import { freePort } from '../harness/stack.ts';

const root = path.resolve(import.meta.dirname, '../..');
const DATA = '/var/lib/intervene-control-plane';

describe('the control plane as a service of systemd', () => {
  let debian: BootedDebian;
  const sh = (script: string) => debian.exec(['sh', '-c', script]);
  const ready = () =>
    eventually(
      'it is ready',
      async () => (await sh('curl -fsS http://127.0.0.1:7400/readyz')).status === 0,
      120_000,
    );

  beforeAll(async () => {
    debian = await BootedDebian.start({ show: { '/opt/intervene': root } });
    const own = '/opt/intervene/control-plane/install/intervene-control-plane';
    await debian.ok(['cp', `${own}.service`, '/etc/systemd/system/']);
    await debian.ok(['mkdir', '-p', '/etc/sysusers.d']);
    await debian.ok(['cp', `${own}.sysusers`, '/etc/sysusers.d/intervene-control-plane.conf']);
    await debian.ok(['systemd-sysusers']);
    await debian.ok(['systemctl', 'daemon-reload']);
    await debian.ok(['systemctl', 'enable', '--now', '--quiet', 'intervene-control-plane']);
    await ready();
  }, 400_000);
  afterAll(() => debian?.close());

  it('runs with its database as a user of its own, without a right of root', async () => {
    const own = (user: string) =>
      debian.exec(['pgrep', '--euid', user, '--count', '--full', 'postgres|control-plane/cli']);
    expect(Number((await own('intervene')).stdout)).toBeGreaterThan(3);
    expect((await own('root')).stdout).toBe('0\n');
    const rights = await sh(
      'grep -h ^CapEff: /proc/$(systemctl show -P MainPID intervene-control-plane)/status',
    );
    expect(rights.stdout.trim()).toMatch(/^CapEff:\s+0+$/);
    const owned = await sh(`stat -c %U ${DATA}/ca/ca.key; stat -c %a ${DATA}/ca/ca.key`);
    expect(owned.stdout).toBe('intervene\n600\n');
  });

  it('is closed off as far as systemd can tell', async () => {
    const { stdout } = await sh(
      'systemd-analyze security --no-pager intervene-control-plane.service | tail -1',
    );
    const exposure = Number(/level for [^:]*: ([0-9.]+)/.exec(stdout)?.[1]);
    expect(exposure, stdout).toBeLessThan(2.5);
  });

  it('comes back when it is killed, with what it had stored, and stops whole', async () => {
    const pin = async () => (await sh(`sha256sum < ${DATA}/ca/ca.crt`)).stdout;
    const before = await pin();
    await debian.ok([
      'systemctl',
      'kill',
      '--kill-who=main',
      '--signal=KILL',
      'intervene-control-plane',
    ]);
    await ready();
    expect(await pin()).toBe(before);
    await debian.ok(['systemctl', 'stop', 'intervene-control-plane']);
    expect((await sh('pgrep -u intervene -l')).stdout).toBe('');
    expect(
      (await sh('journalctl -u intervene-control-plane -p err --no-pager -q')).stdout,
    ).not.toContain('Timed out');
  });

  it('is backed up and restored as the user it runs as', async () => {
    const as = (words: string) =>
      sh(
        `setpriv --reuid intervene --regid intervene --clear-groups env HOME=${DATA} NODE_COMPILE_CACHE=/tmp/n /opt/intervene/scripts/intervene ${words} 2>&1`,
      );
    const made = await as(`backup /var/tmp/monday --data ${DATA} --no-encryption`);
    expect(made.status, made.stdout).toBe(0);
    const back = await as('restore /var/tmp/monday --data /var/tmp/restored --no-encryption');
    expect(back.status, back.stdout).toBe(0);
  });
});

describe('the Containerfile', () => {
  const lines = readFileSync(path.join(root, 'Containerfile'), 'utf8').split('\n');
  const sources = lines
    .filter((line) => line.startsWith('COPY ') && !line.includes('--from='))
    .flatMap((line) => line.split(/\s+/).slice(1, -1));

  it('copies what is there, and its command runs from nothing more', async () => {
    expect(sources.length).toBeGreaterThan(5);
    for (const source of sources)
      expect([source, existsSync(path.join(root, source))]).toEqual([source, true]);
    const list = (name: string) =>
      JSON.parse(
        lines.find((line) => line.startsWith(`${name} `))!.slice(name.length + 1),
      ) as string[];
    const [program, ...rest] = [...list('ENTRYPOINT'), ...list('CMD')];
    const folder = mkdtempSync(path.join(tmpdir(), 'iv-image-'));
    const home = path.join(folder, 'opt/intervene');
    for (const source of sources) {
      cpSync(path.join(root, source), path.join(home, source), { recursive: true });
    }
    symlinkSync(path.join(root, 'node_modules'), path.join(home, 'node_modules'));
    const [http, agents] = [await freePort(), await freePort()];
    const daemon = new Daemon([path.join(folder, program!), ...rest], path.join(folder, 'log'), {
      INTERVENE_DATA: path.join(folder, 'data'),
      INTERVENE_LISTEN: `127.0.0.1:${http}`,
      INTERVENE_AGENT_LISTEN: `127.0.0.1:${agents}`,
    });
    daemon.start();
    try {
      const url = `http://127.0.0.1:${http}/readyz`;
      await eventually('it is ready', async () => (await fetch(url)).ok, 120_000);
    } finally {
      await daemon.end('SIGTERM');
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
