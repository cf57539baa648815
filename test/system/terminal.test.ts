import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { FrameProxy } from '../harness/frame-proxy.ts';
import { readWholeLog } from '../harness/job-log.ts';
import { PersonAtTerminal } from '../harness/person-at-terminal.ts';
import { eventually } from '../harness/process.ts';
import { OPEN_POLICY, Stack } from '../harness/stack.ts';
import { interveneProgram } from '../harness/stack-people.ts';
import type { JobView } from '../harness/stack-people.ts';

const SECRET = 'correct-horse-battery';

describe('an engineer at a terminal of a server', () => {
  let stack: Stack;
  let proxy: FrameProxy;
  const people: PersonAtTerminal[] = [];

  beforeAll(async () => {
    stack = await Stack.start();
    proxy = await FrameProxy.start(stack.httpPort);
    await stack.authorize('*');
    // From now on the engineer's program meets somebody between it and the control plane.
    const file = path.join(stack.environment.INTERVENE_HOME!, 'profiles/lead/profile.json');
    const profile = JSON.parse(readFileSync(file, 'utf8')) as { url: string };
    writeFileSync(file, JSON.stringify({ ...profile, url: proxy.url }));
  });
  afterEach(async () => {
    proxy.tamper = (_direction, frame) => [frame];
    for (const person of people.splice(0)) person.close();
    await stack.agent.end('SIGTERM');
    stack.agent.start();
    await stack.connected();
    await noTerminal();
  });
  afterAll(async () => {
    await proxy?.close();
    await stack?.close();
  });

  /** Between two `stty -g`, so that what the program leaves behind is seen. */
  function sit(...options: string[]): PersonAtTerminal {
    const script = 'echo "before $(stty -g)"; "$@"; echo "status $?"; echo "after $(stty -g)"';
    const program = [interveneProgram, '--profile', 'lead', 'terminal', 'web-04', ...options];
    const person = new PersonAtTerminal(['sh', '-c', script, 'sh', ...program], stack.environment);
    people.push(person);
    return person;
  }

  async function open(...options: string[]): Promise<{ person: PersonAtTerminal; job: JobView }> {
    const person = sit('--yes', ...options);
    await person.sees('Open on web-04');
    person.type("bind 'set enable-bracketed-paste off'; PS1='ready> '\r");
    await person.sees(/(?<!')ready> /);
    const [job] = await running();
    return { person, job: job! };
  }

  async function running(): Promise<JobView[]> {
    const { items } = await stack.request<{ items: JobView[] }>(
      'carol',
      'GET',
      '/api/v1/jobs?server=web-04',
    );
    return items.filter((job) => job.state === 'running');
  }

  async function ended(job: JobView): Promise<JobView> {
    return eventually('the terminal has ended', async () => {
      const now = await stack.job(job.id);
      return now.state === 'running' ? null : now;
    });
  }

  async function noTerminal(): Promise<void> {
    for (const job of await running()) {
      await stack.ok('carol', 'jobs', 'cancel', job.id);
      await ended(job);
    }
  }

  it('asks for the name of the server, and opens nothing without it', async () => {
    const person = sit();
    await person.sees('Open a terminal as root on web-04');
    person.type('web-05\r');
    await person.sees('nothing was ordered');
    await person.sees('status 4');
    expect(await running()).toEqual([]);
  });

  it('types, resizes, leaves with the status of the shell, and gives the terminal back', async () => {
    const { person, job } = await open();
    person.type('stty size\r');
    await person.sees('24 80');
    // Down, and not back to the start of the line.
    person.type("stty -onlcr; printf 'one\\ntwo\\r\\n'; stty onlcr\r");
    await person.sees('one\ntwo\r\n');
    person.resize(101, 33);
    // The change has to get there before the question.
    await eventually('resized', async () => {
      person.type('stty size\r');
      return person.sees('33 101', 1_000).catch(() => null);
    });
    person.type('exit 3\r');
    await person.sees('· recorded');
    await person.sees('status 3');
    const [, before, after] = /before (\S+)[^]*after (\S+)/.exec(
      await person.sees(/after \S+/).then(() => person.shown),
    )!;
    expect(after).toBe(before);
    expect(await ended(job)).toMatchObject({
      state: 'succeeded',
      exitStatus: 3,
      result: { end: 'shell_ended', attachments: 1, inputRecorded: false },
    });
  });

  it('leaves by ~. and ends the shell with what runs in it', async () => {
    const { person, job } = await open();
    person.type('~?');
    await person.sees('leave, and end the terminal');
    // A command that no other test on this machine runs.
    const sleep = `sleep 9${process.pid}`;
    person.type(`${sleep}\r`);
    await person.sees(sleep);
    person.type('\r~.');
    await person.sees('status 0');
    expect(await ended(job)).toMatchObject({ state: 'succeeded', result: { end: 'closed' } });
    expect(spawnSync('pgrep', ['-f', `${sleep}$`]).status).toBe(1);
  });

  it('is ended by the client within 5 s', async () => {
    const { person, job } = await open();
    person.type("trap '' HUP TERM; while :; do sleep 1; done\r");
    await person.sees('done');
    const before = performance.now();
    await stack.ok('carol', 'jobs', 'cancel', job.id);
    await ended(job);
    expect(performance.now() - before).toBeLessThan(8_000);
    await person.sees('status 4');
    expect(await stack.job(job.id)).toMatchObject({ state: 'cancelled', reason: 'requested' });
  });

  it('is refused where the policy of the server forbids it', async () => {
    expect(await running()).toEqual([]);
    const policy = path.join(stack.folder, 'policy.toml');
    writeFileSync(policy, `${OPEN_POLICY}deny = ["terminal.*"]\n`, { mode: 0o600 });
    try {
      const person = sit('--yes');
      await person.sees('policy_denied');
      await person.sees('status 3');
      expect(await running()).toEqual([]);
    } finally {
      writeFileSync(policy, OPEN_POLICY, { mode: 0o600 });
    }
  });

  it('needs a terminal, and says what to use without one', async () => {
    const done = await stack.cli('lead', 'terminal', 'web-04', '--yes');
    expect(done.status).toBe(2);
    expect(done.stderr).toContain('command.run');
  });

  it('gives the terminal back when the program is killed', async () => {
    const { person } = await open();
    const child = spawnSync('pgrep', ['-P', String(person.pid)]);
    process.kill(Number(child.stdout.toString().trim()), 'SIGTERM');
    await person.sees(/status \d+/);
    await person.sees(/after \S+/);
    const [, before, after] = /before (\S+)[^]*after (\S+)/.exec(person.shown)!;
    expect(after).toBe(before);
  });

  it('goes on when the agent is killed', async () => {
    const { person, job } = await open();
    person.type('for i in 1 2 3 4 5 6 7 8; do echo tick-$i; sleep 0.5; done\r');
    await person.sees(/\ntick-1/);
    await stack.agent.end('SIGKILL');
    await person.sees('The connection is lost');
    stack.agent.start();
    await person.sees('Connected again');
    await person.sees(/tick-8\r\n/);
    for (let tick = 1; tick <= 8; tick++) {
      expect(person.shown.split(`tick-${tick}\r\n`)).toHaveLength(2);
    }
    person.type('exit\r');
    await person.sees('status 0');
    expect(await ended(job)).toMatchObject({ state: 'succeeded' });
  });

  it('goes on when the control plane is killed', async () => {
    const { person, job } = await open();
    await stack.controlPlane.end('SIGKILL');
    await person.sees('The connection is lost');
    person.type('echo typed-"meanwhile"\r');
    stack.controlPlane.start();
    await stack.ready();
    await person.sees('Connected again', 60_000);
    await person.sees('typed-meanwhile');
    person.type('exit\r');
    await person.sees('status 0');
    expect(await ended(job)).toMatchObject({ state: 'succeeded' });
  });

  it('is recorded without what was typed in secret, which is nowhere', async () => {
    const { person, job } = await open();
    person.type('read -s -p "Password: " secret; echo; echo "length ${#secret}"\r');
    await person.sees(/\nPassword: /);
    person.type(`${SECRET}\r`);
    await person.sees(`length ${SECRET.length}`);
    person.type("printf '\\033]52;c;aGVsbG8=\\007\\033]0;title\\007\\033[32mgreen\\033[0m\\n'\r");
    await person.sees('green');
    person.type('exit\r');
    await person.sees('status 0');
    expect(person.shown).not.toContain('\u001b]52');
    expect(person.shown).toContain('\u001b[32mgreen');
    await ended(job);

    const log = await readWholeLog(stack, job.id);
    const [header, ...events] = log.out
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line) as unknown);
    expect(header).toMatchObject({ version: 2, width: 80, height: 24 });
    const recorded = events as [number, string, string][];
    expect(recorded.filter((event) => event[1] === 'i')).toEqual([]);
    expect(recorded.map((event) => event[2]).join('')).toContain('\u001b]52;c;aGVsbG8=');
    expect(recorded.every(([at], index) => at >= (recorded[index - 1]?.[0] ?? 0))).toBe(true);

    const shown = await stack.ok('carol', 'logs', job.id);
    expect(shown).toContain('green');
    expect(shown).not.toContain('\u001b');
    expect(shown).not.toContain('"o"');
    const raw = await stack.ok('carol', 'logs', job.id, '--raw', '--channel', 'out');
    expect(raw).toBe(log.out);

    const logs = ['control-plane.log', 'agent.log'].map((name) => path.join(stack.folder, name));
    const found = spawnSync('grep', ['-rlaF', SECRET, stack.data, stack.state, ...logs]);
    expect(found.stdout.toString()).toBe('');
    expect(found.status).toBe(1);
  });

  it('is for nobody else, and for no page', async () => {
    const { person, job } = await open();
    const status = (profile: string, headers: Record<string, string> = {}, query = '') => {
      const file = path.join(stack.environment.INTERVENE_HOME!, 'profiles', profile, 'token');
      const token = readFileSync(file, 'utf8').trim();
      const url = `${stack.url.replace('http', 'ws')}/api/v1/jobs/${job.id}/terminal`;
      const socket = new WebSocket(`${url}${query.replace('TOKEN', token)}`, {
        headers: { ...(query === '' && { authorization: `Bearer ${token}` }), ...headers },
      });
      return new Promise<number>((resolve) => {
        socket.once('open', () => resolve(101));
        socket.once('unexpected-response', (_request, response) => {
          resolve(response.statusCode!);
        });
        socket.on('error', () => undefined);
      }).finally(() => socket.terminate());
    };
    expect(await status('carol')).toBe(403);
    expect(await status('admin')).toBe(403);
    expect(await status('lead', { origin: 'https://elsewhere.example' })).toBe(403);
    expect(await status('lead', {}, '?token=TOKEN')).toBe(401);
    person.type('echo still-"here"\r');
    await person.sees('still-here');
    person.type('exit\r');
    await person.sees('status 0');
  });

  const marker = () => path.join(stack.folder, 'typed-by-a-liar');
  const lies: [string, (typed: Buffer) => Buffer[], string][] = [
    [
      'makes a frame up',
      (typed) => [Buffer.concat([typed.subarray(0, 9), Buffer.alloc(40, 7)])],
      'frame_forged',
    ],
    ['changes a frame', (typed) => [Buffer.from(typed).fill(0, 15, 17)], 'frame_forged'],
    ['plays a frame again', (typed) => [typed, typed], 'frame_replayed'],
    ['leaves a frame out', () => [], 'frame_missing'],
  ];
  it.each(lies)('ends when a control plane %s, and nothing is typed', async (_what, lie, fault) => {
    const { person, job } = await open();
    person.type(`echo x >> ${marker()}`);
    await person.sees('typed-by-a-liar');
    let typed = 0;
    proxy.tamper = (direction, frame) => {
      // What is typed is one byte and what surrounds it; acknowledgements are longer.
      if (direction === 'toEngineer' || frame.length > 9 + 16 + 3) return [frame];
      return typed++ === 0 ? lie(frame) : [frame];
    };
    // A harmless key first: that is the one that is lied about. Then what would run the line.
    person.type('\u0001');
    await eventually('typed', () => typed > 0);
    person.type('\r');
    await person.sees(/status [14]/);
    expect(await ended(job)).toMatchObject({ state: 'failed', reason: 'terminal_tampered' });
    expect((await readWholeLog(stack, job.id)).notes.join('')).toContain(fault);
    expect(spawnSync('test', ['-e', marker()]).status).toBe(1);
  });

  it('is left at once when a control plane changes what the shell shows', async () => {
    const { person, job } = await open();
    proxy.tamper = (direction, frame) =>
      direction === 'toEngineer' ? [Buffer.from(frame).fill(1, 12, 14)] : [frame];
    person.type('echo hello\r');
    await person.sees('not what the agent sent');
    await person.sees('status 1');
    expect(await ended(job)).toMatchObject({ state: 'cancelled' });
  });
});
