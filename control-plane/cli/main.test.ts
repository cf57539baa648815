import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import { useCliWorld } from '../../test/fixtures/cli-world.ts';
import { endJob } from '../../test/fixtures/far-answers.ts';

const its = useCliWorld();
const root = path.resolve(import.meta.dirname, '../..');
const node = path.join(root, 'node_modules/.bin/node');
const main = path.join(import.meta.dirname, 'main.ts');
const words = ['run', 'web-04', 'command.run', '--yes', '--', 'sleep', '60'];

function environment(more: Record<string, string> = {}): Record<string, string> {
  return {
    PATH: process.env['PATH'] ?? '',
    INTERVENE_HOME: its.cli.home,
    INTERVENE_PROFILE: 'ana',
    NODE_COMPILE_CACHE: path.join(root, 'node_modules/.cache/node'),
    ...more,
  };
}

function start(args: readonly string[]): {
  child: ChildProcessWithoutNullStreams;
  said: () => string;
} {
  return startNode([main, ...args]);
}

function startNode(args: readonly string[]): {
  child: ChildProcessWithoutNullStreams;
  said: () => string;
} {
  const child = spawn(node, args, { env: environment() });
  let said = '';
  child.stdout.on('data', (bytes: Buffer) => (said += bytes.toString()));
  child.stderr.on('data', (bytes: Buffer) => (said += bytes.toString()));
  return { child, said: () => said };
}

/** The program on a terminal of its own, by script(1); `typed` is what the person types, when asked `prompt`. */
async function onTerminal(
  args: readonly string[],
  options: { prompt?: string; typed?: string; env?: Record<string, string> } = {},
): Promise<{ status: number | null; shown: string }> {
  const line = [node, main, ...args].map((word) => `'${word}'`).join(' ');
  const child = spawn('script', ['-qefc', line, '/dev/null'], {
    env: environment({ TERM: 'xterm', SHELL: '/bin/sh', ...options.env }),
  });
  let shown = '';
  let hasTyped = false;
  child.stdout.on('data', (bytes: Buffer) => {
    shown += bytes.toString();
    if (options.prompt !== undefined && !hasTyped && shown.includes(options.prompt)) {
      hasTyped = true;
      child.stdin.write(options.typed ?? '');
    }
  });
  const [status] = (await once(child, 'close')) as [number | null];
  return { status, shown };
}

beforeEach(() => {
  its.farEnd.addGrant({
    notBefore: Math.floor(Date.now() / 1000) - 60,
    expiresAt: Math.floor(Date.now() / 1000) + 3600,
  });
});

describe('the program', () => {
  it('finds home and profile in the environment', async () => {
    const { child, said } = start(['whoami', '--json']);
    await once(child, 'close');
    expect(JSON.parse(said())).toMatchObject({ name: 'Ana' });
  });

  it('ends with 130 on Ctrl-C while following, at once, and cancels nothing', async () => {
    recertify();
    its.farEnd.onOrder = (job) => {
      endJob(job, [['out', 'working\n']]);
      Object.assign(job.body, {
        state: 'running',
        startBefore: new Date(Date.now() + 900_000).toISOString(),
      });
    };
    const { child, said } = start(words);
    while (!said().includes('working')) await new Promise((wait) => setTimeout(wait, 10));
    const pressed = Date.now();
    child.kill('SIGINT');
    const [status] = (await once(child, 'close')) as [number | null];
    expect(status).toBe(130);
    expect(Date.now() - pressed).toBeLessThan(3000);
    expect(said()).toContain('1042/1 goes on.');
    expect(its.farEnd.requests.some(({ path: asked }) => asked.endsWith('/cancel'))).toBe(false);
  });

  it('ends quietly when the reader of its output has seen enough', async () => {
    recertify();
    its.farEnd.onOrder = (job) =>
      endJob(
        job,
        Array.from({ length: 300 }, () => ['out', 'x'.repeat(60_000)] as const),
      );
    const { child, said } = start(words);
    child.stdout.once('data', () => child.stdout.destroy());
    const [status] = (await once(child, 'close')) as [number | null];
    expect(status).toBe(130);
    expect(said()).not.toContain('EPIPE');
  });

  it('loads for a simple command nothing but the parser and the connection', async () => {
    const probe = `
      import { registerHooks } from 'node:module';
      const loaded = new Set();
      registerHooks({
        load(url, context, next) {
          loaded.add(/node_modules\\/((?:@[^/]+\\/)?[^/]+)/.exec(url)?.[1]);
          return next(url, context);
        },
      });
      process.argv.push('intervene', 'whoami', '--json');
      const { exit } = process;
      process.exit = (status) => {
        console.error(JSON.stringify([...loaded].filter(Boolean)));
        exit(status);
      };
      await import(${JSON.stringify(main)});`;
    const { child, said } = startNode(['--input-type=module', '--eval', probe]);
    await once(child, 'close');
    expect(said()).toContain('"Ana"');
    expect(said()).toContain('["commander"]');
  });
});

describe('on a terminal', () => {
  it('does not show the token that is typed', async () => {
    const args = ['login', its.farEnd.url, '--profile', 'new'];
    const done = await onTerminal(args, { prompt: '(not shown)', typed: 'engineer-token\r' });
    expect(done.shown).toContain('logged in');
    expect(done.shown).not.toContain('engineer-token');
    expect(done.status).toBe(0);
  });

  it('leaves a question with 130 on Ctrl-C', async () => {
    const done = await onTerminal(['login', its.farEnd.url, '--profile', 'new'], {
      prompt: '(not shown)',
      typed: '\u0003',
    });
    expect(done.status).toBe(130);
  });

  it('uses colours unless NO_COLOR or a dumb terminal forbid them', async () => {
    expect((await onTerminal(['servers', 'list'])).shown).toContain('\u001b[32m');
    for (const env of [{ NO_COLOR: '1' }, { TERM: 'dumb' }]) {
      expect((await onTerminal(['servers', 'list'], { env })).shown).not.toContain('\u001b');
    }
  });
});

/** The program has the real time; the world's certifications are of another. */
function recertify(): void {
  const now = Math.floor(Date.now() / 1000);
  const { farEnd, world, cli } = its;
  const ana = world.certify('engineer', world.lead.signer, {
    name: 'Ana',
    notBefore: now - 60,
    expiresAt: now + 3600,
  });
  farEnd.certifications.push(Buffer.from(ana.envelope).toString('base64'));
  cli.addKey('ana', 'engineer', ana, { person: ana.person, name: 'Ana' });
}
