import path from 'node:path';
import { beforeEach, describe, expect, it } from 'vitest';
import type { DiagnosticsResult } from '../../proto/actions/diagnostics.ts';
import { useCliWorld } from '../../test/fixtures/cli-world.ts';
import { curlInstalled, curlPlan, curlUnfinished } from '../../test/fixtures/package-papers.ts';
import {
  damagedFilesystem,
  diagnosisSample,
  failedUnit,
  fullFilesystem,
  hostileFinding,
} from '../../test/fixtures/diagnosis-samples.ts';
import { endJob, journalEvents, planJob, refuseJob } from '../../test/fixtures/far-answers.ts';
import type { FarJob } from '../../test/fixtures/far-end.ts';
import {
  configuredWeb,
  failedRestart,
  restartPlan,
  rolledBackWeb,
  webStatus,
} from '../../test/fixtures/service-results.ts';
import type { CommandOptions, CommandRun } from '../../test/fixtures/command-line.ts';

const its = useCliWorld();

const modes: Record<string, { options: CommandOptions; words?: string[] }> = {
  'tty-80': { options: { columns: 80 } },
  'tty-120': { options: { columns: 120 } },
  'no-color': { options: { columns: 80, color: false } },
  pipe: { options: {} },
  json: { options: {}, words: ['--json'] },
};

interface Scene {
  words: string[];
  profile?: string;
  before?: () => unknown;
}

const notAllLooked: DiagnosticsResult['probes'] = [
  ...diagnosisSample([]).probes,
  {
    probe: 'hardware.disks',
    area: 'hardware',
    outcome: 'probe_failed',
    detail: 'smartctl is not installed',
    durationMs: 40,
  },
];

const STARTED = Date.parse('2026-11-25T03:11:00.000Z');
const repair = ['run', 'web-04', 'filesystem.repair', '--plan', '1042/1', '--yes'];
const command = ['run', 'web-04', 'command.run', '--yes', '--', 'uptime'];
const curl = ['packages.install', '--param', 'packages=["curl"]'];
const diagnoseWords = ['diagnose', 'web-04'];
const planWords = ['plan', 'web-04', 'filesystem.repair', '--param', 'device=/dev/vdb'];

const unit = ['--param', 'unit=nginx.service'];
const restartWords = ['plan', 'web-04', 'service.restart', ...unit];
const configureWords = ['plan', 'web-04', 'service.configure', ...unit, '--param', 'enabled=true'];
const answering = (changes: Parameters<typeof endJob>[2]) => () => {
  its.farEnd.onOrder = (job) => {
    if (job.order.mode === 'plan') planJob(its.world, job, restartPlan(job.order));
    else endJob(job, [], changes);
  };
};

const scenes: Record<string, Scene> = {
  'servers-list': { words: ['servers', 'list'] },
  'servers-show': { words: ['servers', 'show', 'web-04'] },
  'servers-unknown': { words: ['servers', 'show', 'web-40'] },
  'credentials-list': {
    profile: 'carol',
    words: ['credentials', 'list'],
    before: async () => {
      await its.cli.run(command);
      const [job] = its.farEnd.jobs.values();
      for (const name of ['password', 'key']) its.farEnd.addMade(job!, name, Buffer.from(name));
      const openedAt = '2026-11-25T03:01:00.000Z';
      Object.assign(its.farEnd.credentials[0]!, { state: 'opened', openedBy: 'carol', openedAt });
      const secret = its.file('secret', 'hunter2');
      const give = ['credentials', 'give', 'web-04', '--name', 'stdin', '--from-file', secret];
      await its.cli.run([...give, '--yes'], { profile: 'carol' });
    },
  },
  'agents-list': { words: ['agents', 'list'] },
  'interventions-list': { words: ['interventions', 'list'] },
  actions: { words: ['actions'] },
  'actions-one': { words: ['actions', 'filesystem.repair'] },
  diagnose: {
    words: diagnoseWords,
    before: async () => {
      const results = [
        diagnosisSample([fullFilesystem, failedUnit]),
        diagnosisSample([damagedFilesystem, failedUnit, hostileFinding], { probes: notAllLooked }),
      ];
      its.farEnd.onOrder = (job) =>
        endJob(job, [['note', 'looked\n']], { result: results.shift() ?? diagnosisSample([]) });
      await its.cli.run(diagnoseWords);
    },
  },
  plan: { words: planWords },
  'run-repair': { words: repair, before: () => its.cli.run(planWords) },
  'service-status': {
    words: ['run', 'web-04', 'service.status', ...unit],
    before: answering({ result: webStatus }),
  },
  'service-plan': { words: restartWords, before: answering({}) },
  'service-restart-failed': {
    words: ['run', 'web-04', 'service.restart', '--plan', '1042/1', '--yes'],
    before: async () => {
      answering({ state: 'failed', reason: 'restart_failed', result: failedRestart })();
      await its.cli.run(restartWords);
    },
  },
  'service-configure': {
    words: ['run', 'web-04', 'service.configure', '--plan', '1042/1', '--yes'],
    before: async () => {
      answering({ result: configuredWeb })();
      await its.cli.run(configureWords);
    },
  },
  'service-configure-rolled-back': {
    words: ['run', 'web-04', 'service.configure', '--plan', '1042/1', '--yes'],
    before: async () => {
      answering({ state: 'cancelled', reason: 'revoked', result: rolledBackWeb })();
      await its.cli.run(configureWords);
    },
  },
  'run-refused': {
    words: command,
    before: () => {
      its.farEnd.grants = [];
    },
  },
  'run-interrupted': {
    words: command,
    before: () => {
      its.farEnd.onOrder = (job) =>
        endJob(job, [['out', 'begun\n']], { state: 'interrupted', reason: 'runner_died' });
    },
  },
  'plan-packages': { words: ['plan', 'web-04', ...curl], before: planCurl },
  'run-packages': {
    words: ['run', 'web-04', 'packages.install', '--plan', '1042/1', '--yes'],
    before: async () => {
      planCurl();
      await its.cli.run(['plan', 'web-04', ...curl]);
      its.farEnd.onOrder = (job) => endJob(job, [['out', 'Setting up curl\n']], curlInstalled);
    },
  },
  'run-packages-incomplete': {
    words: ['run', 'web-04', 'packages.install', '--plan', '1042/1', '--yes'],
    before: async () => {
      planCurl();
      await its.cli.run(['plan', 'web-04', ...curl]);
      its.farEnd.onOrder = (job) => endJob(job, [['err', 'I cannot\n']], curlUnfinished);
    },
  },
  'jobs-list': {
    words: ['jobs', 'list'],
    before: async () => {
      await its.cli.run(planWords);
      await its.cli.run(command);
      its.farEnd.onOrder = (job) =>
        Object.assign(job.body, {
          state: 'running',
          progress: { phase: 'check', percent: 62, text: '' },
        });
      await its.cli.run([...command.slice(0, 4), '--detach', '--', 'sleep', '60']);
    },
  },
  'jobs-show': { words: ['jobs', 'show', '1042/1'], before: () => its.cli.run(command) },
  logs: {
    words: ['logs', '1042/1'],
    before: async () => {
      its.farEnd.onOrder = (job) =>
        endJob(job, [
          ['out', 'Inode 131 has illegal block(s).  Clear? yes\n'],
          ['gap', '{"missingBytes":88000,"missingLines":1204}'],
          ['out', '\u001b[1mPass 2\u001b[0m: \u001b]0;title\u0007checking\n'],
        ]);
      await its.cli.run(command);
    },
  },
  authorize: {
    profile: 'carol',
    words: (
      'authorize web-04 --ticket T-8817 --actions filesystem.check,filesystem.repair --for 4h --backup unsure ' +
      '--interruption yes --limit device=/dev/vdb --yes'
    ).split(' '),
  },
  enroll: { profile: 'carol', words: ['enroll', 'web-04', '--mode', 'resident', '--no-wait'] },
  'help-exit-codes': { words: ['help', 'exit-codes'] },
};

/** The client allows curl, and the agent plans it with what it needs. */
function planCurl(): void {
  const { farEnd, world } = its;
  farEnd.addGrant({ actions: [{ pattern: 'packages.*', parameters: { packages: [['curl']] } }] });
  farEnd.onOrder = (job: FarJob) => planJob(world, job, curlPlan);
}

/** What differs from run to run is replaced by something as long. */
function settled(text: string): string {
  return text
    .replaceAll('\u001b', '␛')
    .replaceAll(/\r[^\n\r]*?␛\[K/g, '')
    .replaceAll(/SHA256:[A-Za-z0-9+/]{43}/g, `SHA256:${'k'.repeat(43)}`)
    .replaceAll(/SHA256:[A-Za-z0-9+/]*…/g, 'SHA256:kkk…')
    .replaceAll(/sha256:[0-9a-f]{64}/g, `sha256:${'0'.repeat(64)}`)
    .replaceAll(
      /\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b/g,
      '00000000-0000-4000-8000-000000000000',
    )
    .replaceAll(/age1[0-9a-z]{58}/g, `age1${'q'.repeat(58)}`)
    .replaceAll(/"envelope": ?"[^"]*"/g, '"envelope":"…"');
}

function page(words: readonly string[], done: CommandRun): string {
  const stdout = settled(done.stdout);
  const stderr = settled(done.stderr);
  return `$ intervene ${words.join(' ')}\n--- exit ${done.status}\n--- stdout\n${stdout}--- stderr\n${stderr}`;
}

beforeEach(() => {
  const { farEnd, world, cli } = its;
  farEnd.addGrant();
  cli.addKey('carol', 'signing', world.account.signing, {
    person: world.lead.person,
    name: 'carol',
  });
  farEnd.onOrder = (job: FarJob) => {
    if (job.order.authorization === null)
      refuseJob(job, 'grant_missing', 'no authorization came with the order');
    else if (job.order.mode === 'plan') planJob(world, job);
    else if (job.order.action === 'filesystem.repair') {
      endJob(job, [['out', 'Pass 1: Checking inodes\n']], {
        result: { outcome: 'corrected', problems: 212, detail: '' },
      });
      job.events = journalEvents([
        {
          type: 'step_started',
          at: STARTED,
          step: 'repair',
          description: 'Repair the file system',
        },
        { type: 'step_ended', at: STARTED + 8400, step: 'repair', ok: true, detail: '' },
      ]);
    } else endJob(job, [['out', 'up 3 days\n']], { exitStatus: 0 });
  };
});

describe.each(Object.entries(modes))(
  'what is printed, %s',
  (mode, { options, words: more = [] }) => {
    it.each(Object.entries(scenes))('%s', async (name, { words, profile, before }) => {
      await before?.();
      const all = [...more, ...words];
      const done = await its.cli.run(all, { ...options, ...(profile && { profile }) });
      const file = path.join(import.meta.dirname, 'golden', `${name}.${mode}.txt`);
      await expect(page(all, done)).toMatchFileSnapshot(file);
    });
  },
);

describe('whatever is printed', () => {
  it.each(Object.entries(scenes))(
    '%s has no escape byte off a terminal, and no colour where none is wanted',
    async (_, { words, profile, before }) => {
      await before?.();
      const pipe = await its.cli.run(words, { ...(profile && { profile }) });
      expect(pipe.stdout + pipe.stderr).not.toContain('\u001b');
      const plain = await its.cli.run(words, {
        columns: 80,
        color: false,
        ...(profile && { profile }),
      });
      // Only the moving line erases itself.
      expect((plain.stdout + plain.stderr).replaceAll('\u001b[K', '')).not.toContain('\u001b');
    },
  );

  it.each(Object.entries(scenes))(
    '%s is JSON where JSON is asked for',
    async (_, { words, profile, before }) => {
      await before?.();
      const done = await its.cli.run(['--json', ...words], { ...(profile && { profile }) });
      for (const line of done.stdout.split('\n').filter(Boolean)) JSON.parse(line);
      expect(done.stdout === '' ? done.stderr : done.stdout).toMatch(/^\{/);
    },
  );
});
