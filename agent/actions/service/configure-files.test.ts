import {
  existsSync,
  lstatSync,
  mkdirSync,
  readlinkSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { JsonValue } from '../../../proto/documents/fields.ts';
import { PLAN_FILE } from '../../jobs/control-messages.ts';
import { ended, JobsFixture } from '../../jobs/jobs-fixture.ts';
import type { JobSpec } from '../../jobs/job-spec.ts';
import type { Jobs } from '../../jobs/job.ts';
import {
  makeDiskImage,
  smallSystem,
  withMountedPartition,
} from '../../target/testing/disk-image.ts';

const MIB = 1024 * 1024;
const UNIT = '/usr/lib/systemd/system/shop.service';
const OWN = '/etc/systemd/system';
const FILES = {
  ...smallSystem('web-04', ''),
  [UNIT]:
    '[Service]\nExecStart=/usr/bin/shop\n[Install]\nWantedBy=multi-user.target\nAlias=store.service\n',
  '/usr/lib/systemd/system/multi-user.target': '[Unit]\nDescription=all\n',
  '/usr/lib/systemd/system/bomb.service': '[Unit]\nFailureAction=reboot\n[Service]\nExecStart=/x\n',
  [`${OWN}/shop.service.d/limits.conf`]: '[Service]\nLimitNOFILE=1\n',
  [`${OWN}/shop.service.d/start.conf`]: '[Service]\nExecStart=/usr/bin/other\n',
};

let folder: string;
let image: string;
let fixture: JobsFixture;
let jobs: Jobs;
beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'ivs-')));
  image = join(folder, 'disk.img');
  await makeDiskImage(image, 'dos', [{ mebibytes: 32, format: 'ext4', files: FILES }]);
  fixture = await JobsFixture.create();
  jobs = fixture.agent();
  await jobs.load();
});
afterEach(async () => {
  await fixture.close();
  await rm(folder, { recursive: true, force: true });
});

const inSystem = <T>(body: (path: (name: string) => string) => T) =>
  withMountedPartition(image, { offset: MIB, bytes: 32 * MIB }, async (point) =>
    body((name) => join(point, name)),
  );
const linkAt = (path: string) =>
  inSystem((at) =>
    existsSync(dirname(at(path)))
      ? lstatSync(at(path), { throwIfNoEntry: false })?.isSymbolicLink()
        ? readlinkSync(at(path))
        : null
      : null,
  );

async function order(change: Partial<JobSpec>) {
  const target = { disk: image };
  const spec = { action: 'service.configure', target, parameters: {}, ...change };
  const job = await jobs.start(fixture.spec(spec), {});
  const { outcome, reason, result } = await ended(job);
  return { id: job.id, outcome, reason, result: result as { outcome: string } | null };
}

/** Plans and applies. */
async function configure(parameters: Record<string, JsonValue>, action = 'service.configure') {
  const planned = await order({ mode: 'plan', parameters, action });
  if (planned.outcome !== 'succeeded') return planned;
  const bytes = await readFile(join(fixture.directory(planned.id), PLAN_FILE));
  return order({ plan: bytes.toString('base64'), parameters, action });
}

const shop = { unit: 'shop.service' };

describe('a unit of a system on a disk', () => {
  it('is enabled with its alias, found enabled, and the undo takes the links away', async () => {
    const done = await configure({ ...shop, enabled: true });
    expect(done).toMatchObject({ outcome: 'succeeded', result: { outcome: 'repaired' } });
    expect(await linkAt(`${OWN}/multi-user.target.wants/shop.service`)).toBe(UNIT);
    expect(await linkAt(`${OWN}/store.service`)).toBe(UNIT);
    const again = await configure({ ...shop, enabled: true });
    expect(again.result?.outcome).toBe('nothing_to_do');
    const undone = await order({
      mode: 'undo',
      undoes: done.id,
      parameters: { ...shop, enabled: true },
    });
    expect(undone.result?.outcome).toBe('restored');
    expect(await linkAt(`${OWN}/store.service`)).toBeNull();
    await inSystem((at) => expect(existsSync(at(`${OWN}/multi-user.target.wants`))).toBe(false));
  });

  it('has the next boot label files where SELinux is used and nobody here knows its policy', async () => {
    await inSystem((at) => {
      mkdirSync(at('/etc/selinux'));
      writeFileSync(at('/etc/selinux/config'), 'SELINUX=enforcing\nSELINUXTYPE=targeted\n');
    });
    const parameters = { ...shop, dropIn: 'more', settings: ['Service.LimitNOFILE=2'] };
    const done = await configure(parameters);
    expect(done).toMatchObject({
      outcome: 'succeeded',
      result: { files: [`${OWN}/shop.service.d/more.conf`, '/.autorelabel'] },
    });
    await order({ mode: 'undo', undoes: done.id, parameters });
    await inSystem((at) => expect(existsSync(at('/.autorelabel'))).toBe(false));
  });

  it('is disabled, also where somebody linked it by hand', async () => {
    await inSystem((at) => {
      mkdirSync(at(`${OWN}/graphical.target.wants`));
      symlinkSync(UNIT, at(`${OWN}/graphical.target.wants/shop.service`));
    });
    expect((await configure({ ...shop, enabled: false })).outcome).toBe('succeeded');
    expect(await linkAt(`${OWN}/graphical.target.wants/shop.service`)).toBeNull();
  });

  it('is masked and unmasked, by a link and by an empty file', async () => {
    expect((await configure({ ...shop, masked: true })).outcome).toBe('succeeded');
    expect(await linkAt(`${OWN}/shop.service`)).toBe('/dev/null');
    expect((await configure({ ...shop, enabled: true })).reason).toBe('unit_masked');
    expect((await configure({ ...shop, masked: false })).outcome).toBe('succeeded');
    expect(await linkAt(`${OWN}/shop.service`)).toBeNull();
    await inSystem((at) => writeFileSync(at(`${OWN}/shop.service`), ''));
    expect((await configure({ ...shop, masked: false })).outcome).toBe('succeeded');
    await inSystem((at) => expect(existsSync(at(`${OWN}/shop.service`))).toBe(false));
  });

  it('loses a drop-in that bounds it, and one that says what runs by service.override only', async () => {
    expect((await configure({ ...shop, removeDropIn: 'limits' })).outcome).toBe('succeeded');
    const refused = await configure({ ...shop, removeDropIn: 'start' });
    expect(refused.reason).toBe('needs_override');
    const done = await configure({ ...shop, removeDropIn: 'start' }, 'service.override');
    expect(done.outcome).toBe('succeeded');
    await inSystem((at) => expect(existsSync(at(`${OWN}/shop.service.d/start.conf`))).toBe(false));
  });

  it('is refused where it could end the system, or is not there', async () => {
    const unit = 'bomb.service';
    expect((await configure({ unit, enabled: true })).reason).toBe('unit_protected');
    expect((await configure({ unit: 'debug-shell.service', enabled: true })).outcome).toBe(
      'failed',
    );
    expect((await configure({ unit: 'none.service', enabled: true })).reason).toBe(
      'unit_not_found',
    );
  });

  it('is never changed through a folder that leads away', async () => {
    await inSystem((at) => {
      mkdirSync(at('/srv/trap'), { recursive: true });
      symlinkSync('../../../../../../../../../etc', at(`${OWN}/multi-user.target.wants`));
    });
    await configure({ ...shop, enabled: true });
    expect(existsSync('/etc/shop.service')).toBe(false);
  });
});

describe('the target that a boot ends in', () => {
  it('is set back from rescue mode', async () => {
    const rescue = '/usr/lib/systemd/system/rescue.target';
    await inSystem((at) => symlinkSync(rescue, at(`${OWN}/default.target`)));
    const parameters = { unit: 'multi-user.target', isDefault: true };
    const done = await configure(parameters);
    expect(done.outcome).toBe('succeeded');
    const multiUser = '/usr/lib/systemd/system/multi-user.target';
    expect(await linkAt(`${OWN}/default.target`)).toBe(multiUser);
    await order({ mode: 'undo', undoes: done.id, parameters });
    expect(await linkAt(`${OWN}/default.target`)).toBe(rescue);
  });
});
