import { mkdirSync, renameSync, rmSync, truncateSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PackagesResult } from '../../../proto/actions/packages.ts';
import type { Plan } from '../../../proto/documents/kinds/plan.ts';
import { differences, FaultDisk, pictureOf, type MountedSystem } from '../../../test/lab/index.ts';
import { isWhole } from '../../../test/fixtures/matrix.ts';
import { keepArchive } from '../../../test/lab/faults/keep-archive.ts';
import { PLAN_FILE } from '../../jobs/control-messages.ts';
import { ended, JobsFixture, output } from '../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import type { Jobs } from '../../jobs/job.ts';

const LIMIT_MS = 600_000;
const POSTINST = 'var/lib/dpkg/info/less.postinst';

let fixture: JobsFixture;
let jobs: Jobs;
let disk: FaultDisk;
beforeAll(async () => {
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
  disk = await FaultDisk.copy('bios-gpt');
}, LIMIT_MS);
afterAll(async () => {
  disk?.close();
  await fixture?.close();
});

async function order(change: Partial<JobSpec>) {
  const spec = {
    action: 'packages.repair',
    target: { disk: disk.image },
    parameters: {},
    maxRuntimeSeconds: 900,
    ...change,
  };
  const job = await jobs.start(fixture.spec(spec), {});
  const { outcome, reason, result } = await ended(job);
  const said = (await output(job, 'note')).toString() + (await output(job, 'err')).toString();
  return { id: job.id, outcome, reason, said, result: result as unknown as PackagesResult | null };
}

async function planned(parameters: JobSpec['parameters'] = {}) {
  const job = await order({ mode: 'plan', parameters });
  expect([job.outcome, job.reason], job.said).toEqual(['succeeded', null]);
  const bytes = await readFile(join(fixture.directory(job.id), PLAN_FILE));
  const { steps } = JSON.parse(bytes.toString('utf8')) as Plan;
  return { bytes: bytes.toString('base64'), steps: steps.map(({ id }) => id) };
}

async function mend(parameters: JobSpec['parameters'] = {}) {
  const { bytes } = await planned(parameters);
  return order({ mode: 'apply', plan: bytes, parameters });
}

/** Runs `body` on the disk and gives back what it had of these files before. */
async function broken<T>(
  breakIt: (system: MountedSystem) => Promise<unknown> | void,
  body: () => Promise<T>,
  ...files: string[]
): Promise<T> {
  const before = await disk.inside(async (system) => {
    const texts = files.map((file): [string, string] => [file, system.read(file)]);
    await breakIt(system);
    return texts;
  });
  try {
    return await body();
  } finally {
    await disk.inside((system) => {
      for (const [file, text] of before) system.write(file, text);
    });
  }
}

const unfinished = (system: MountedSystem) =>
  system.edit('var/lib/dpkg/status', (text) =>
    text.replace(/^(Package: less\nStatus: install ok) installed$/m, '$1 half-configured'),
  );
const script = (system: MountedSystem, ...lines: string[]) =>
  system.write(POSTINST, ['#!/bin/sh', ...lines, ''].join('\n'), 0o755);

describe('packages of a system on disks', () => {
  it(
    'are refused where rpm keeps them, with what to do, and never called whole',
    async () => {
      const { bytes } = await planned();
      await broken(
        (system) => {
          system.write('etc/os-release', 'ID="rocky"\nID_LIKE="rhel centos fedora"\n');
          mkdirSync(system.path('var/lib/rpm'), { recursive: true });
          system.write('var/lib/rpm/rpmdb.sqlite', 'record');
        },
        async () => {
          for (const mode of ['plan', 'apply'] as const) {
            const done = await order({ mode, ...(mode === 'apply' && { plan: bytes }) });
            expect([done.outcome, done.reason], done.said).toEqual([
              'failed',
              'packages_unsupported',
            ]);
            expect(done.said).toContain('once it runs');
          }
        },
        'etc/os-release',
      );
    },
    LIMIT_MS,
  );

  it(
    'are left as they are where one cannot be finished, or where its program does what it must not',
    async () => {
      const all: [string, string[]][] = [
        ['configure_failed', ['touch /etc/half-done', 'echo no such luck >&2', 'exit 3']],
        ['unusual_change', ['touch /root/mine']],
        ['unusual_change', ['mkdir /etc/new', 'mkfifo /etc/new/pipe']],
        ['unusual_change', ['rm -r /etc/nginx']],
      ];
      const cases = process.env.INTERVENE_TEST_ALL === '1' ? all : all.slice(0, 2);
      await broken(
        unfinished,
        async () => {
          const { bytes } = await planned();
          for (const [reason, lines] of cases) {
            await disk.inside((system) => script(system, ...lines));
            const before = await pictureOf(disk);
            const done = await order({ mode: 'apply', plan: bytes });
            expect([done.outcome, done.reason, lines], done.said).toEqual([
              'failed',
              reason,
              lines,
            ]);
            expect(differences(before, await pictureOf(disk))).toEqual([]);
          }
        },
        'var/lib/dpkg/status',
        POSTINST,
      );
    },
    LIMIT_MS,
  );

  it(
    'are finished by their own programs, which may start nothing, and that is taken back whole',
    async () => {
      await broken(
        (system) => {
          unfinished(system);
          script(
            system,
            'mkdir -m 750 /etc/made; echo new >/etc/made/file; chown -R 7:7 /etc/made',
            'ln -s made/file /etc/link; rm /etc/issue; chmod 600 /etc/issue.net',
            '/usr/sbin/policy-rc.d cron start || echo "said $?" >/etc/policy',
          );
        },
        async () => {
          const before = await pictureOf(disk);
          const done = await mend();
          expect(done.result, done.said).toMatchObject({
            outcome: 'repaired',
            packages: [{ name: 'less', state: 'installed' }],
          });
          const after = await pictureOf(disk);
          const changed = differences(before, after).filter((path) => path.startsWith('/etc/'));
          expect(changed.map((path) => [path, after.get(path)?.slice(0, 11)])).toEqual([
            ['/etc/issue', undefined],
            ['/etc/issue.net', '100600 0:0 '],
            ['/etc/link', '120777 0:0 '],
            ['/etc/made', '40750 7:7 0'],
            ['/etc/made/file', '100644 7:7 '],
            ['/etc/policy', '100644 0:0 '],
          ]);
          await disk.lookAsItIs((system) => expect(system.read('etc/policy')).toBe('said 101\n'));
          expect((await planned()).steps).toEqual([]);
          const undone = await order({ mode: 'undo', undoes: done.id });
          expect(undone.result, undone.said).toMatchObject({ outcome: 'restored' });
          expect(differences(before, await pictureOf(disk))).toEqual([]);
        },
        'var/lib/dpkg/status',
        POSTINST,
      );
    },
    LIMIT_MS,
  );

  it.runIf(isWhole)(
    'are held no longer where others need another version, once the order names them, and again after an undo',
    async () => {
      await broken(
        async (system) => {
          await keepArchive(system, 'libnftables1:amd64');
          system.edit('var/lib/dpkg/status', (text) =>
            text.replace(
              /^(Package: libnftables1\nStatus:) install( ok installed\n[^]*?\nVersion: )\S+/m,
              '$1 hold$20.9-1',
            ),
          );
        },
        async () => {
          const held = () => disk.look((system) => system.ok(['apt-mark', 'showhold']));
          expect(await held()).toBe('libnftables1\n');
          const packages = ['libnftables1'];
          const refused = await order({ mode: 'plan', parameters: { packages } });
          expect([refused.reason, refused.said]).toEqual([
            'packages_held',
            expect.stringContaining('releaseHolds') as string,
          ]);
          const before = await pictureOf(disk);
          const parameters = { packages, releaseHolds: packages };
          const done = await mend(parameters);
          expect(done.result, done.said).toMatchObject({ outcome: 'repaired' });
          expect(await held()).toBe('');
          const changed = differences(before, await pictureOf(disk));
          expect(changed.filter((path) => path.includes('pkgcache'))).toEqual([]);
          expect((await planned(parameters)).steps).toEqual([]);
          const undone = await order({ mode: 'undo', undoes: done.id, parameters });
          expect(undone.result, undone.said).toMatchObject({ outcome: 'restored' });
          expect(differences(before, await pictureOf(disk))).toEqual([]);
        },
        'var/lib/dpkg/status',
      );
    },
    LIMIT_MS,
  );

  it(
    'say what is missing where nothing on the disk helps',
    async () => {
      const plan = (parameters: JobSpec['parameters'] = {}) => order({ mode: 'plan', parameters });
      await broken(
        async (system) => {
          await system.ok(['apt-get', 'clean']);
          await system.ok(['dpkg', '--force-depends', '--remove', 'libnftables1']);
        },
        async () => {
          expect((await plan()).reason).toBe('packages_not_named');
          const named = await plan({ packages: ['libnftables1'] });
          expect([named.reason, named.said]).toEqual([
            'archive_missing',
            expect.stringContaining('/var/cache/apt/archives') as string,
          ]);
        },
        'var/lib/dpkg/status',
      );
      await broken(
        (system) => {
          truncateSync(system.path('var/lib/dpkg/status'));
          rmSync(system.path('var/lib/dpkg/status-old'), { force: true });
        },
        async () => expect((await plan()).reason).toBe('record_lost'),
        'var/lib/dpkg/status',
      );
      await disk.inside((system) => {
        const loader = system.path('usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2');
        renameSync(loader, system.path('var/tmp/ld.gone'));
        truncateSync(system.path('var/tmp/ld.gone'), 1000);
      });
      expect((await plan()).reason).toBe('file_lost');
    },
    LIMIT_MS,
  );
});
