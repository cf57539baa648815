import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { findPostmaster } from './database/postmaster.ts';

let directory: string;
const children: ChildProcessWithoutNullStreams[] = [];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'ivup-'));
});
afterEach(async () => {
  for (const child of children.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) {
      await new Promise((resolve) => child.once('exit', resolve));
    }
  }
  const left = postmaster();
  if (left !== undefined) process.kill(left.pid, 'SIGINT');
  while (postmaster() !== undefined) await sleep(20);
  rmSync(directory, { recursive: true, force: true });
});

const postmaster = () => findPostmaster(path.join(directory, 'postgres/data'));

interface Up {
  child: ChildProcessWithoutNullStreams;
  said: () => string;
  logged: () => string;
  exited: Promise<number | NodeJS.Signals | null>;
  /** Resolves with the address once it says so. */
  url: Promise<string>;
}

/** `up` in a process of its own, as `intervene up` runs it without a terminal. */
function up(flags: Record<string, string> = {}, environment: Record<string, string> = {}): Up {
  const options = { data: directory, listen: '127.0.0.1:0', agentListen: '127.0.0.1:0', ...flags };
  const main = path.join(import.meta.dirname, 'main.ts');
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `const { up } = await import(${JSON.stringify(main)}); await up(${JSON.stringify(options)});`,
    ],
    { stdio: 'pipe', env: { PATH: process.env['PATH'], ...environment } },
  );
  children.push(child);
  let said = '';
  let logged = '';
  child.stdout.on('data', (chunk: Buffer) => (logged += chunk.toString()));
  const url = new Promise<string>((resolve, reject) => {
    child.stderr.on('data', (chunk: Buffer) => {
      said += chunk.toString();
      const found = /^API: (\S+)$/m.exec(said)?.[1];
      if (found !== undefined && said.includes('Next: ')) resolve(found);
    });
    child.once('exit', () => reject(new Error(said)));
  });
  url.catch(() => {});
  const exited = new Promise<number | NodeJS.Signals | null>((resolve) => {
    child.once('exit', (status, signal) => resolve(status ?? signal));
  });
  return { child, said: () => said, logged: () => logged, exited, url };
}

describe('intervene up', () => {
  it('stops its database too when its terminal is closed, however often that is said', async () => {
    const { child, url, exited } = up();
    await url;
    child.kill('SIGHUP');
    child.stderr.destroy();
    await sleep(50);
    child.kill('SIGHUP');
    expect(await exited).toBe(0);
    expect(postmaster()).toBeUndefined();
  });

  it('says where it is and what comes next, keeps the log apart, and stops cleanly when asked', async () => {
    const { child, url, said, logged, exited } = up();
    const address = await url;
    expect((await fetch(`${address}/readyz`)).status).toBe(200);
    const lines = said().trim().split('\n');
    expect(lines[0]).toMatch(/^database {2}embedded PostgreSQL in \S+ {2}[\d.]+ s$/);
    expect(lines[1]).toMatch(/^control plane {2}[\d.]+ s$/);
    expect(lines).toContain(`Admin token: ${directory}/admin-token`);
    expect(lines.at(-1)).toMatch(
      new RegExp(
        `^Next: intervene init ${address} --engineer NAME --admin-token-file .*admin-token `,
      ),
    );
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(said()).toContain('Stopping (SIGTERM)');
    expect(postmaster()).toBeUndefined();
    const records = logged()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { msg: string });
    expect(records.map((record) => record.msg)).toEqual(
      expect.arrayContaining([
        'the database answers',
        'the control plane runs',
        'request',
        'the control plane has stopped',
      ]),
    );
    const token = readFileSync(path.join(directory, 'admin-token'), 'utf8').trim();
    expect(said() + logged()).not.toContain(token);
  });

  it('killed with -9 leaves its database, which the next start takes over with everything in it', async () => {
    const first = up();
    const address = await first.url;
    const token = readFileSync(path.join(directory, 'admin-token'), 'utf8').trim();
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json' };
    const added = await fetch(`${address}/api/v1/accounts`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ name: 'acme' }),
    });
    expect(added.status).toBe(201);
    const pid = postmaster()!.pid;
    first.child.kill('SIGKILL');
    await first.exited;
    expect(postmaster()?.pid).toBe(pid);

    const second = up();
    const again = await second.url;
    expect(postmaster()?.pid).toBe(pid);
    const listed = await fetch(`${again}/api/v1/accounts`, { headers });
    expect(await listed.json()).toMatchObject({ items: [{ name: 'acme' }] });
    second.child.kill('SIGINT');
    expect(await second.exited).toBe(0);
    expect(postmaster()).toBeUndefined();
  });

  it('asked twice ends at once, and the next start is none the worse', async () => {
    const first = up({ stopGrace: '60' });
    const address = await first.url;
    const hanging = fetch(`${address}/api/v1/invitations/redeem`, {
      method: 'POST',
      body: new ReadableStream({ start: (out) => out.enqueue(Buffer.from('{')) }),
      headers: { 'content-type': 'application/json' },
      duplex: 'half',
    } as RequestInit).catch((error: unknown) => error);
    await sleep(100);
    first.child.kill('SIGINT');
    while (!first.said().includes('Stopping (SIGINT)')) await sleep(10);
    const started = performance.now();
    first.child.kill('SIGINT');
    expect(await first.exited).toBe(130);
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(await hanging).toBeInstanceOf(Error);

    const second = up();
    expect((await fetch(`${await second.url}/readyz`)).status).toBe(200);
  });

  it('stopped while it starts stops what has started', async () => {
    const { child, exited } = up();
    while (!existsSync(path.join(directory, 'control-plane.pid'))) await sleep(10);
    child.kill('SIGTERM');
    expect(await exited).toBe(0);
    expect(postmaster()).toBeUndefined();
  });

  it('refuses settings it cannot use, before it touches anything', async () => {
    const { said, exited } = up({ listen: '0.0.0.0:7400' });
    expect(await exited).toBe(1);
    expect(said()).toContain('tokens would cross the network in the clear');
    expect(existsSync(path.join(directory, 'control-plane.pid'))).toBe(false);
  });

  it('does not pass a password of the environment on to what it starts', async () => {
    const url = 'postgres://user:hunter2@127.0.0.1:1/none';
    const { child, said, logged, exited } = up({}, { INTERVENE_DATABASE_URL: url });
    while (!logged().includes('waiting for the database')) await sleep(20);
    child.kill('SIGTERM');
    await exited;
    expect(said() + logged()).not.toContain('hunter2');
  });
});
