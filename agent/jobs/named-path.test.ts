import {
  chmodSync,
  chownSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { JsonValue } from '../../proto/documents/fields.ts';
import type { ScriptedStep } from '../runner/testing/scripted-step.ts';
import type { JobSpec } from './job-spec.ts';
import type { Job, Jobs } from './job.ts';
import { ended, jobId, JobsFixture, output } from './jobs-fixture.ts';
import { findAction } from '../../proto/actions/catalogue.ts';
import { resolveSandboxPaths } from './sandbox-paths.ts';
import { bindBackups, checkNamedPath, ForbiddenPathError } from './named-path.ts';

let folder: string;
let fixture: JobsFixture;
let jobs: Jobs;

beforeEach(async () => {
  folder = realpathSync(mkdtempSync(join(tmpdir(), 'ivn-')));
  mkdirSync(join(folder, 'etc'));
  mkdirSync(join(folder, 'kept'));
  writeFileSync(join(folder, 'etc', 'policy.toml'), 'policy');
  fixture = await JobsFixture.create({
    protectedPaths: [join(folder, 'etc', 'policy.toml')],
    runnerEntry: join(import.meta.dirname, '..', 'runner', 'testing', 'scripted-runner.ts'),
  });
  jobs = fixture.agent();
  await jobs.load();
});

afterEach(async () => {
  await fixture.close();
  rmSync(folder, { recursive: true, force: true });
});

const places = () => ({
  stateDirectory: fixture.state,
  programDirectory: realpathSync(join(import.meta.dirname, '..', '..')),
  nodePath: process.execPath,
  protectedPaths: [join(folder, 'etc', 'policy.toml')],
});

function repair(parameters: Record<string, JsonValue>, script = 'true'): JobSpec {
  const steps: ScriptedStep[] = [{ id: 'only', interrupt: 'now', run: `(${script}) 2>&1; true` }];
  return fixture.spec({
    action: 'filesystem.repair',
    parameters: { device: '/none', script: steps as unknown as JsonValue, ...parameters },
  });
}

describe('a path of an order', () => {
  test.each(['/', '/etc', '/usr/bin', '/bin', '/boot', '/proc/1', '/sys', '/dev', '/run'])(
    'is refused when it is %s',
    async (path) => {
      await expect(checkNamedPath(path, places())).rejects.toThrow(ForbiddenPathError);
    },
  );

  test('is refused when the agent, its program or its configuration is in it or around it', async () => {
    const { stateDirectory, programDirectory, nodePath } = places();
    mkdirSync(join(stateDirectory, 'identity'));
    const own = [stateDirectory, join(stateDirectory, 'identity'), dirname(stateDirectory)];
    const program = [programDirectory, join(programDirectory, 'agent'), dirname(nodePath)];
    const policy = [join(folder, 'etc', 'policy.toml'), join(folder, 'etc'), folder];
    for (const path of [...own, ...program, ...policy]) {
      await expect(checkNamedPath(path, places()), path).rejects.toThrow(ForbiddenPathError);
    }
    expect(await checkNamedPath(join(folder, 'kept'), places())).toBe(join(folder, 'kept'));
    expect(await checkNamedPath(join(folder, 'nowhere'), places())).toBe(null);
  });

  test('is refused when it leads over a symlink or is not plain', async () => {
    symlinkSync(folder, join(folder, 'kept', 'link'));
    for (const path of ['kept/link', 'kept/link/kept', 'kept/../kept', 'kept/', 'kept//']) {
      const given = `${folder}/${path}`;
      await expect(checkNamedPath(given, places()), path).rejects.toThrow(ForbiddenPathError);
    }
  });
});

describe('the backups of a job', () => {
  test('go to a folder of its own, and nothing beside it can be written or seen', async () => {
    const kept = join(folder, 'kept');
    writeFileSync(join(kept, 'other'), 'of others');
    const spec = repair({ backupDirectory: kept }, `cat ${kept}/other; echo x > ${kept}/other`);
    const own = join(kept, `intervene-${spec.job}`);
    spec.parameters['script'] = [
      {
        id: 'only',
        interrupt: 'now',
        run: `echo saved > ${own}/file; cat ${kept}/other 2>&1; true`,
      },
    ];
    const job = await jobs.start(spec, {});
    expect(await ended(job)).toMatchObject({ outcome: 'succeeded' });
    expect((await output(job)).toString()).toContain('No such file');
    expect(readFileSync(join(own, 'file'), 'utf8')).toBe('saved\n');
    expect(readFileSync(join(kept, 'other'), 'utf8')).toBe('of others');
  });

  test('of a plan have no folder that stays, and those of an undo are bound read-only', async () => {
    const kept = join(folder, 'kept');
    const parameters = { backupDirectory: kept };
    const job = jobId();
    const done = jobId();
    const plan = await bindBackups({ job, mode: 'plan', undoes: null, parameters }, places());
    expect(plan).toMatchObject({ isWritable: false, isTransient: true });
    const undo = { job, mode: 'undo', undoes: done, parameters } as const;
    expect(await bindBackups(undo, places())).toBe(null);
    mkdirSync(join(kept, `intervene-${done}`));
    expect(await bindBackups(undo, places())).toEqual({
      path: join(kept, `intervene-${done}`),
      isWritable: false,
      isTransient: false,
    });
  });

  test('leave no folder when nothing was saved', async () => {
    const job = await jobs.start(repair({ backupDirectory: join(folder, 'kept') }), {});
    await ended(job);
    await expect.poll(() => readdirSync(join(folder, 'kept'))).toEqual([]);
  });

  test('never go to a folder that somebody else had made', async () => {
    const spec = repair({ backupDirectory: join(folder, 'kept') });
    mkdirSync(join(folder, 'kept', `intervene-${spec.job}`));
    await expect(bindBackups(spec, places())).rejects.toThrow(ForbiddenPathError);
  });
});

describe('a place for backups that others than root can change', () => {
  const kept = () => join(folder, 'kept');
  const check = (backupDirectory: string, change: Partial<JobSpec> = {}) => {
    const spec = { ...repair({ backupDirectory }), ...change };
    return resolveSandboxPaths(findAction('service.configure')!, spec, folder, places());
  };

  test.each<[string, () => string]>([
    ['is that of a user', () => (chownSync(kept(), 1000, 0), kept())],
    ['may be written by a group', () => (chmodSync(kept(), 0o770), kept())],
    [
      'lies in one of a user',
      () => (mkdirSync(join(kept(), 'in')), chownSync(kept(), 1000, 0), join(kept(), 'in')),
    ],
    [
      'would be made in one that everybody writes',
      () => (chmodSync(kept(), 0o1777), join(kept(), 'new')),
    ],
  ])('is refused for jobs of every profile where it %s', async (_, make) => {
    await expect(check(make())).rejects.toThrow('others than root can change');
  });

  test('is refused for an undo where that is so of the job’s own', async () => {
    const undoes = jobId();
    mkdirSync(join(kept(), `intervene-${undoes}`));
    await check(kept(), { mode: 'undo', undoes });
    chownSync(join(kept(), `intervene-${undoes}`), 1000, 0);
    await expect(check(kept(), { mode: 'undo', undoes })).rejects.toThrow(ForbiddenPathError);
  });

  test('is none below a folder in which everybody may make their own, and only that', async () => {
    chmodSync(kept(), 0o1777);
    mkdirSync(join(kept(), 'own'), { mode: 0o755 });
    await expect(check(join(kept(), 'own'))).resolves.toBeDefined();
    await expect(check('/etc/none')).rejects.toThrow('kept from them');
  });
});

describe('a job with a path that is not for jobs never starts', () => {
  async function refused(parameters: Record<string, JsonValue>): Promise<Job> {
    const spec = repair(parameters);
    await expect(jobs.start(spec, {})).rejects.toThrow('no runner could be started');
    const job = jobs.get(spec.job)!;
    expect(await ended(job)).toMatchObject({
      outcome: 'failed',
      reason: 'path_refused',
      result: null,
    });
    return job;
  }

  test('and its log says why', async () => {
    const job = await refused({ backupDirectory: join(fixture.state, 'jobs') });
    expect((await output(job, 'note')).toString()).toContain('is kept from them');
  });

  test('be it a file to repair', async () => {
    writeFileSync(join(folder, 'image'), 'image');
    symlinkSync(join(folder, 'image'), join(folder, 'link'));
    linkSync(join(folder, 'image'), join(fixture.state, 'secret'));
    await refused({ device: join(folder, 'etc', 'policy.toml') });
    await refused({ device: join(fixture.state, 'secret') });
    await refused({ device: '/etc/passwd' });
    await refused({ device: join(folder, 'link') });
    await refused({ device: `${folder}/etc/../image` });
    expect(readdirSync(join(folder, 'kept'))).toEqual([]);
  });
});
