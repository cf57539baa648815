import { afterAll, beforeAll } from 'vitest';
import type { ServiceRestartResult } from '../../proto/actions/service.ts';
import type { Plan } from '../../proto/documents/kinds/plan.ts';
import type { BootedDebian } from './booted-debian.ts';
import { OptedInServer } from './opted-in-server.ts';
import { eventually } from './process.ts';
import type { Finished } from './process.ts';

/** The opted-in server of a test file that works on services. */

export let server: OptedInServer;
export const LIMIT = ['Service.LimitNOFILE=4096'];
export const WRONG = ['Service.LimitNOFILE=many'];
export const COMMAND = ['Service.ExecStart=', 'Service.ExecStart=/bin/sleep 1001'];
export const TWO_COMMANDS = ['Service.ExecStart=/bin/sleep 1002'];

/** Opts the server in before the first test of a file, with grants for what those tests order. */
export function useServiceServer(): void {
  beforeAll(async () => {
    server = await OptedInServer.start();
    const settings = (list: string[]) => ['--limit', `settings=${JSON.stringify(list)}`];
    await server.stack.authorize('service.status,service.restart');
    await server.stack.authorize('service.configure', '--ticket', 'T-2');
    await server.stack.authorize('service.configure', ...settings(LIMIT), ...settings(WRONG));
    await server.stack.authorize(
      'service.override',
      ...settings(COMMAND),
      ...settings(TWO_COMMANDS),
    );
    await server.stack.authorize('service.override', '--ticket', 'T-2');
  }, 600_000);
  afterAll(() => server?.close());
}

export type Parameters = Record<string, unknown>;

export interface Ended<R> {
  status: number | null;
  reason: string | null;
  result: R;
  job: string;
  said: string;
}

export function words(parameters: Parameters): string[] {
  return Object.entries(parameters).flatMap(([name, value]) => [
    '--param',
    `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`,
  ]);
}

export function endOf<R>(done: Finished): Ended<R> {
  const lines = done.stdout.split('\n').filter(Boolean);
  const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  const last = parsed.findLast(({ type }) => type === 'result');
  if (last === undefined) throw new Error(`no result:\n${done.stdout}${done.stderr}`);
  const said = parsed.map(({ text }) => (typeof text === 'string' ? text : '')).join('');
  return {
    status: done.status,
    reason: last['reason'] as string | null,
    result: last['result'] as R,
    job: last['job'] as string,
    said: said + done.stderr,
  };
}

/** Runs an action by the CLI; one that plans is planned first, and applied as it was planned. */
export async function act<R = ServiceRestartResult>(
  action: string,
  parameters: Parameters,
): Promise<Ended<R>> {
  if (action === 'service.status') {
    return endOf(
      await server.stack.cli('lead', '--json', 'run', 'web-04', action, ...words(parameters)),
    );
  }
  const brief = action === 'service.restart' ? { watchSeconds: 1 } : {};
  const planned = await makePlan(action, { ...brief, ...parameters });
  return apply<R>(action, planned.planDigest);
}

export async function apply<R>(action: string, plan: string): Promise<Ended<R>> {
  return endOf<R>(
    await server.stack.cli('lead', '--json', 'run', 'web-04', action, '--plan', plan, '--yes'),
  );
}

export async function makePlan(
  action: string,
  parameters: Parameters,
): Promise<{ planDigest: string; plan: Plan }> {
  return server.stack.json('lead', 'plan', 'web-04', action, ...words(parameters));
}

/** A plan that is not made: why, and what was said. */
export async function refusedPlan(action: string, parameters: Parameters) {
  const done = await server.stack.cli('lead', 'plan', 'web-04', action, ...words(parameters));
  return { status: done.status, said: done.stderr + done.stdout };
}

export const undo = async <R>(job: string) =>
  endOf<R>(await server.stack.cli('lead', '--json', 'jobs', 'undo', job, '--yes'));

export const sh = (script: string) => server.debian.ok(['sh', '-c', script]);
export const show = async (unit: string, property: string) =>
  (await sh(`systemctl show -p ${property} --value ${unit}`)).trim();

export async function unitFile(name: string, service: string, unit = ''): Promise<void> {
  await server.debian.write(
    `/etc/systemd/system/${name}`,
    `[Unit]\n${unit}\n[Service]\n${service}\n[Install]\nWantedBy=multi-user.target\n`,
  );
  await sh('systemctl daemon-reload');
}

/** A service that says why it fails, and fails. */
export async function badService(): Promise<void> {
  await unitFile('bad.service', `ExecStart=/bin/sh -c 'echo no database >&2; exit 3'`);
  await server.debian.exec(['systemctl', 'start', 'bad']);
  await eventually('it has failed', async () => (await show('bad', 'ActiveState')) === 'failed');
}

export const setUp = () => setUpOf(server.debian);

/** Everything that says when units start, and their drop-ins: names, targets, bytes, modes, owners, times. */
export async function setUpOf(debian: BootedDebian): Promise<string> {
  const script =
    `cd /etc && find systemd/system rc?.d ! -type d -printf '%p %l %m %U %G %s %T@\\n' | grep -v ' -> ' | sort;` +
    ` find systemd/system -type d -printf '%p %m %U %G\\n' | sort; find systemd/system -type f | sort | xargs -r sha256sum`;
  const text = await debian.ok(['sh', '-c', script]);
  // A link that is made again is as new as that; only what it says counts.
  return text.replaceAll(/^(\S+ \S+ 777 0 0 \d+) [\d.]+$/gm, '$1');
}
