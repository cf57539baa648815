import { readFileSync } from 'node:fs';
import path from 'node:path';
import { eventually, run } from './process.ts';
import type { Finished } from './process.ts';

export const interveneProgram = path.resolve(import.meta.dirname, '../../scripts/intervene');

export interface JobView {
  id: string;
  name: string;
  state: string;
  reason: string | null;
  exitStatus: number | null;
  result: Record<string, unknown> | null;
  log: {
    committedBytes: number;
    bytes: number | null;
    digest: string | null;
    verified: boolean | null;
  };
}

/** What people do with a control plane that runs: by the program, as they do it, or over its REST interface. */
export class StackPeople {
  readonly folder: string;
  readonly url: string;

  constructor(folder: string, url: string) {
    this.folder = folder;
    this.url = url;
  }

  /** Runs `intervene` as the person of a profile. */
  cli(profile: string, ...args: string[]): Promise<Finished> {
    return run([interveneProgram, '--profile', profile, ...args], { env: this.environment });
  }

  get environment(): Record<string, string> {
    return { INTERVENE_HOME: path.join(this.folder, 'home'), NO_COLOR: '1' };
  }

  async ok(profile: string, ...args: string[]): Promise<string> {
    const done = await this.cli(profile, ...args);
    if (done.status !== 0) {
      throw new Error(
        `intervene ${args.join(' ')} ended with ${done.status}:\n${done.stderr}${done.stdout}`,
      );
    }
    return done.stdout;
  }

  async json<T>(profile: string, ...args: string[]): Promise<T> {
    return JSON.parse(await this.ok(profile, '--json', ...args)) as T;
  }

  /** A grant by carol for `web-04`; `more` may say otherwise than what stands here. */
  async authorize(actions: string, ...more: string[]): Promise<{ id: string; number: number }> {
    const usual = [
      ['--ticket', 'T-1'],
      ['--highest-class', 'C'],
      ['--backup', 'yes'],
      ['--interruption', 'yes'],
    ].filter(([flag = '']) => !more.includes(flag));
    const words = ['authorize', 'web-04', '--actions', actions, ...usual.flat(), ...more];
    return this.json('carol', ...words, '--accept-no-undo', '--yes');
  }

  /** Carol takes back whatever she permits now. */
  async revokeAll(): Promise<void> {
    const { items } = await this.request<{ items: { id: string; state: string }[] }>(
      'carol',
      'GET',
      '/api/v1/grants',
    );
    for (const grant of items.filter(({ state }) => state === 'valid')) {
      await this.ok('carol', 'revoke', grant.id, '--yes');
    }
  }

  async request<T>(profile: string, method: string, route: string, body?: unknown): Promise<T> {
    const token = readFileSync(
      path.join(this.environment.INTERVENE_HOME!, 'profiles', profile, 'token'),
      'utf8',
    ).trim();
    const response = await fetch(`${this.url}${route}`, {
      method,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${route}: ${response.status} ${text}`);
    return JSON.parse(text) as T;
  }

  async ready(): Promise<void> {
    await eventually(
      'the control plane is ready',
      async () => (await fetch(`${this.url}/readyz`)).ok,
      60_000,
    );
  }

  async connected(timeoutMs?: number): Promise<void> {
    const isConnected = async () => {
      const { items } = await this.request<{ items: { state: string }[] }>(
        'lead',
        'GET',
        '/api/v1/agents',
      );
      return items.some((agent) => agent.state === 'connected');
    };
    await eventually('the agent is connected', isConnected, timeoutMs);
  }

  async job(reference: string): Promise<JobView> {
    return this.request('lead', 'GET', `/api/v1/jobs/${reference}`);
  }

  /** The job when it has ended. */
  async ended(reference: string, timeoutMs?: number): Promise<JobView> {
    const open = ['proposed', 'queued', 'delivered', 'running'];
    const ended = async () => {
      const job = await this.job(reference);
      return open.includes(job.state) ? null : job;
    };
    return eventually(`job ${reference} has ended`, ended, timeoutMs);
  }
}
