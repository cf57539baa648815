import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { isWhole } from '../fixtures/matrix.ts';
import { ImageStore } from '../harness/image-store.ts';
import { Daemon, eventually, must } from '../harness/process.ts';
import { freePort } from '../harness/stack.ts';

const root = path.resolve(import.meta.dirname, '../..');
const DATA = '/var/lib/intervene-control-plane';
const PROGRAM = '/opt/intervene/scripts/intervene';
const canBuild = isWhole && process.getuid?.() === 0;

describe.runIf(canBuild)('the image of the Containerfile (minutes: with --all, as root)', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'iv-image-'));
  const store = new ImageStore();
  let container: string;
  let url: string;
  let daemon: Daemon | undefined;
  const inside = (...words: string[]) => must(store.inside(container, {}, ...words));
  /** Of the process in the container; chroot isolation gives it no pid namespace. */
  const stop = async () => {
    const pid = Number(await inside('cat', `${DATA}/control-plane.pid`));
    process.kill(pid, 'SIGTERM');
    await eventually('it has ended', () => !isAlive(pid), 60_000);
  };

  beforeAll(async () => {
    const text = readFileSync(path.join(root, 'Containerfile'), 'utf8');
    const [, base] = /^FROM (\S+) AS build$/m.exec(text)!;
    await store.addNode(`docker.io/library/${base}`);
    await store.ok('bud', '--isolation', 'chroot', '--pull-never', '--tag', 'intervene', root);
    container = await store.ok('from', '--pull-never', 'localhost/intervene');
    const [http, agents] = [await freePort(), await freePort()];
    url = `http://127.0.0.1:${http}`;
    const settings = {
      INTERVENE_LISTEN: `127.0.0.1:${http}`,
      INTERVENE_AGENT_LISTEN: `127.0.0.1:${agents}`,
    };
    const argv = store.inside(container, settings, PROGRAM, 'up');
    daemon = new Daemon(argv, path.join(folder, 'log'));
    daemon.start();
    await eventually('it is healthy', async () => (await fetch(`${url}/healthz`)).ok, 120_000);
  }, 1_800_000);
  afterAll(async () => {
    if (daemon !== undefined) await stop();
    await daemon?.end('SIGTERM');
    await store.close();
    rmSync(folder, { recursive: true, force: true });
  }, 120_000);

  it('runs the control plane as a user of its own, and lets an operator be made', async () => {
    expect(await inside('id', '--user', '--name')).toBe('intervene\n');
    expect(await inside('stat', '--format', '%U %a', `${DATA}/ca/ca.key`)).toBe('intervene 600\n');
    const init = ['init', url, '--engineer', 'carol', '--no-passphrase'];
    const files = ['--admin-token-file', `${DATA}/admin-token`];
    const made = store.inside(container, { HOME: '/tmp' }, PROGRAM, ...init, ...files, '--json');
    await must(made);
    const known = store.inside(container, { HOME: '/tmp' }, PROGRAM, 'whoami', '--json');
    expect(JSON.parse(await must(known))).toMatchObject({ name: 'carol' });
  });

  it('hands the agent out that it was built with', async () => {
    const answer = await fetch(`${url}/install/intervene-agent-linux-x64.tar.gz`);
    expect(answer.status).toBe(200);
    expect((await answer.arrayBuffer()).byteLength).toBeGreaterThan(10_000_000);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
