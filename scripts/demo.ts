import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { parseArgs } from 'node:util';
import { makeDamagedExt4 } from '../test/fixtures/damaged-ext4.ts';
import { Daemon, eventually, run } from '../test/harness/process.ts';
import { freePort } from '../test/harness/stack.ts';
import { bold, DemoStage, root } from './demo-stage.ts';
import { secondAct } from './demo-second-act.ts';

const { values: options } = parseArgs({ options: { keep: { type: 'boolean', default: false } } });

const intervene = path.join(root, 'scripts/intervene');
const interveneAgent = path.join(root, 'scripts/intervene-agent');
const stage = new DemoStage();
const inFolder = (name: string) => stage.file(name);
const image = inFolder('disk.img');
const began = performance.now();

async function checksum(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return hash.digest('hex');
}

async function fsckSays(): Promise<string> {
  const done = await run(['e2fsck', '-fn', image]);
  return `e2fsck -fn: exit ${done.status}, ${done.status === 0 ? 'clean' : 'errors'}`;
}

const httpPort = await freePort();
const agentPort = await freePort();
const url = `http://127.0.0.1:${httpPort}`;
const agentFiles = [
  '--config',
  inFolder('agent.toml'),
  '--state',
  inFolder('agent'),
  '--policy',
  inFolder('policy.toml'),
];
const upWords = [
  'up',
  '--data',
  inFolder('data'),
  '--listen',
  `127.0.0.1:${httpPort}`,
  '--agent-listen',
  `127.0.0.1:${agentPort}`,
];
const controlPlane = new Daemon([intervene, ...upWords], inFolder('control-plane.log'));
const agent = new Daemon([interveneAgent, 'run', ...agentFiles], inFolder('agent.log'));

async function stop(): Promise<void> {
  await stage.clear();
  await agent.end('SIGTERM');
  if (existsSync(inFolder('agent'))) await run([interveneAgent, 'lock', ...agentFiles]);
  await controlPlane.end('SIGTERM');
  rmSync(stage.folder, { recursive: true, force: true });
}

let isStopping = false;
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (isStopping) return;
    isStopping = true;
    void stop().finally(() => {
      console.log('\nStopped before its end. Nothing is left running.');
      process.exit(130);
    });
  });
}

/** A script, because whoever waits for processes of another shell can only look for them. */
function writeStopScript(): string {
  const file = inFolder('stop');
  const lines = [
    '#!/bin/sh',
    `kill ${agent.pid} ${controlPlane.pid} 2>/dev/null`,
    `for pid in ${agent.pid} ${controlPlane.pid}; do`,
    '  while [ -e "/proc/$pid/exe" ]; do sleep 0.1; done',
    'done',
    `rm -rf ${stage.folder}`,
    "echo 'Stopped; nothing is left.'",
  ];
  writeFileSync(file, `${lines.join('\n')}\n`, { mode: 0o700 });
  return file;
}

async function firstAct(): Promise<void> {
  stage.heading('The provider starts a control plane and makes its root of trust');
  stage.typed('intervene', upWords);
  controlPlane.start();
  await eventually('control plane', async () => (await fetch(`${url}/readyz`)).ok, 60_000);
  await stage.show([
    '--profile',
    'erin',
    'init',
    url,
    '--engineer',
    'erin',
    '--admin-token-file',
    inFolder('data/admin-token'),
    '--no-passphrase',
  ]);
  await stage.quiet([
    '--profile',
    'admin',
    'login',
    url,
    '--token-file',
    inFolder('data/admin-token'),
  ]);
  await stage.quiet(['--profile', 'admin', 'accounts', 'add', 'acme']);
  const invited = await stage.json<{ invitation: string }>([
    '--profile',
    'admin',
    'people',
    'invite',
    'carol',
    '--role',
    'client',
    '--account',
    'acme',
  ]);
  writeFileSync(inFolder('invitation'), invited.invitation, { mode: 0o600 });
  await stage.quiet(['--profile', 'erin', 'servers', 'add', 'web-04', '--account', 'acme']);

  stage.heading('The client, carol, makes her own keys and opts web-04 in');
  await stage.quiet([
    '--profile',
    'carol',
    'login',
    url,
    '--invitation-file',
    inFolder('invitation'),
  ]);
  await stage.show([
    '--profile',
    'carol',
    'keys',
    'create',
    '--no-passphrase',
    '--recovery-out',
    inFolder('recovery-key'),
  ]);
  const enrollment = await stage.json<Record<string, string>>([
    '--profile',
    'carol',
    'enroll',
    'web-04',
    '--mode',
    'resident',
  ]);
  await startAgent(enrollment);

  stage.heading('A disk is damaged: inodes and a directory cleared, the journal left dirty');
  await makeDamagedExt4(image);
  const damaged = await checksum(image);
  stage.say(`${image}  sha256 ${damaged.slice(0, 16)}…  ${await fsckSays()}`);

  stage.heading('Nobody authorized anything yet: the agent refuses, and signs that it did');
  await stage.show(
    ['--profile', 'erin', 'run', 'web-04', 'filesystem.check', '--param', `device=${image}`],
    3,
  );

  stage.heading('The client authorizes: file systems only, four hours');
  await stage.show([
    '--profile',
    'carol',
    'authorize',
    'web-04',
    '--ticket',
    'T-8817',
    '--actions',
    'filesystem.*',
    '--for',
    '4h',
    '--highest-class',
    'C',
    '--backup',
    'no',
    '--interruption',
    'yes',
    '--yes',
  ]);

  stage.heading('The engineer looks, plans and repairs');
  await stage.show([
    '--profile',
    'erin',
    'run',
    'web-04',
    'filesystem.check',
    '--param',
    `device=${image}`,
  ]);
  await stage.show([
    '--profile',
    'erin',
    'plan',
    'web-04',
    'filesystem.repair',
    '--param',
    `device=${image}`,
  ]);
  const plans = await jobsOf('plan');
  await stage.show([
    '--profile',
    'erin',
    'run',
    'web-04',
    'filesystem.repair',
    '--plan',
    plans[0]?.planDigest ?? '',
    '--yes',
  ]);
  stage.say(await fsckSays());

  stage.heading('And takes it back: the same bytes as before');
  const [repair] = await jobsOf('apply');
  if (repair === undefined) throw new Error('the repair is not in the list of jobs');
  await stage.show(['--profile', 'erin', 'jobs', 'undo', repair.name, '--yes']);
  const undone = await checksum(image);
  stage.say(`sha256 ${undone.slice(0, 16)}…  ${undone === damaged ? 'identical' : 'DIFFERENT'}`);
  if (undone !== damaged) throw new Error('the undo did not give the bytes back');

  stage.heading('The client verifies everything, offline, with nothing but her pinned keys');
  await stage.quiet([
    '--profile',
    'carol',
    'interventions',
    'pack',
    repair.name.split('/')[0]!,
    '--output',
    inFolder('pack.json'),
  ]);
  await stage.show(['--profile', 'carol', 'verify', inFolder('pack.json')]);
}

/** What anybody may ever do on web-04; each permission of the client is narrower. */
const POLICY = [
  'version = 1',
  'allow = ["filesystem.*", "diagnostics.*", "boot.*", "bootloader.*", "access.*"]',
  'highest-class = "C"',
  '',
].join('\n');

/** The repairs of this mode, the newest first; asked without showing it, since a person has read it above. */
async function jobsOf(mode: string): Promise<{ name: string; planDigest: string }[]> {
  const done = await stage.unseen(['--profile', 'erin', 'jobs', 'list', '--json']);
  const { items } = JSON.parse(done.stdout) as {
    items: { name: string; mode: string; action: string; planDigest: string }[];
  };
  return items.filter((job) => job.action === 'filesystem.repair' && job.mode === mode);
}

async function startAgent(enrollment: Record<string, string>): Promise<void> {
  mkdirSync(inFolder('agent'), { mode: 0o700 });
  writeFileSync(inFolder('token'), enrollment.token ?? '', { mode: 0o600 });
  writeFileSync(inFolder('agent.toml'), `control-plane = ["127.0.0.1:${agentPort}"]\n`, {
    mode: 0o600,
  });
  writeFileSync(inFolder('policy.toml'), POLICY, { mode: 0o600 });
  const words = [
    'enroll',
    ...agentFiles,
    '--server-address',
    `127.0.0.1:${agentPort}`,
    '--token-file',
    inFolder('token'),
    '--ca',
    enrollment.caPin ?? '',
    '--root',
    enrollment.rootDigest ?? '',
    '--account-keys',
    enrollment.accountKeysDigest ?? '',
    '--mode',
    'resident',
    '--yes',
  ];
  stage.typed('intervene-agent', words);
  const done = await run([interveneAgent, ...words]);
  if (done.status !== 0) throw new Error(`enrolment: ${done.stderr}`);
  stage.typed('intervene-agent', ['run', ...agentFiles]);
  agent.start();
  await eventually('the agent is connected', async () => {
    const listed = await stage.unseen(['--profile', 'erin', 'agents', 'list', '--json']);
    return listed.stdout.includes('"connected"');
  });
}

let failed = false;
try {
  await firstAct();
  await secondAct(stage);
  const seconds = ((performance.now() - began) / 1000).toFixed(0);
  console.log(`\n${bold('Done')} in ${seconds} s.`);
} catch (error) {
  // Ctrl-C ends the children too; that is no failure, and `stop` says how it ends.
  if (isStopping) await new Promise(() => {});
  failed = true;
  console.error(`\n${bold('The demo failed')}: ${(error as Error).message}`);
  console.error(`Logs: ${inFolder('control-plane.log')} ${inFolder('agent.log')}`);
}

if (options.keep && !failed) {
  console.log(`
Everything stays up. Go on by hand:
  export INTERVENE_HOME=${stage.home} PATH=${path.join(root, 'scripts')}:$PATH
  intervene --profile erin run web-04 filesystem.check --param device=${image}
  intervene --profile carol revoke G-301
Stop it:
  ${writeStopScript()}`);
  agent.release();
  controlPlane.release();
} else if (!failed) {
  await stop();
  console.log('Nothing is left running.');
} else {
  await stage.clear();
  await agent.end('SIGTERM');
  await controlPlane.end('SIGTERM');
  process.exitCode = 1;
}
