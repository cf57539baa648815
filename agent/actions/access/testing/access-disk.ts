import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { generateX25519Identity, identityToRecipient } from 'age-encryption';
import type { JsonValue } from '../../../../proto/documents/fields.ts';
import type { Plan } from '../../../../proto/documents/kinds/plan.ts';
import { openSealedOutput } from '../../../../proto/documents/sealed-output.ts';
import { DiskJobs, type Done } from '../../../jobs/disk-jobs-fixture.ts';
import type { Job } from '../../../jobs/job.ts';
import type { JobSpec } from '../../../jobs/job-spec.ts';
import type { JobsFixture } from '../../../jobs/jobs-fixture.ts';
import { JournalReader } from '../../../jobs/journal-reader.ts';
import {
  makeDiskImage,
  smallSystem,
  withMountedPartition,
} from '../../../target/testing/disk-image.ts';

const MIB = 1024 * 1024;
const MEBIBYTES = 48;
const WINDOW = { offset: MIB, bytes: MEBIBYTES * MIB };
const OLD_HASH =
  '$6$oldsalt$F2tTc3OvYFVxaHH0cDDyOzDBvZNCLhE1jDdfbvoKwGlGHhO1CXEPFj0fPmf1aKsNBCsKBbQR1q00RhZDRUpFF1';

const imageIn = (folder: string) => join(folder, 'disk.img');

/** What a small server has of accounts; `old` is not a password anybody knows. */
export const accountFiles = {
  '/etc/passwd': [
    'root:x:0:0:root:/root:/bin/bash',
    'daemon:x:1:1:daemon:/usr/sbin:/usr/sbin/nologin',
    'ann:x:1000:1000:Ann,,,:/home/ann:/bin/bash',
    '',
  ].join('\n'),
  '/etc/shadow': [
    `root:${OLD_HASH}:19000:0:99999:7:::`,
    'daemon:*:19000:0:99999:7:::',
    'ann:!:19000:0:99999:7:::',
    '',
  ].join('\n'),
  '/etc/group': 'root:x:0:\ndaemon:x:1:\nshadow:x:42:\nann:x:1000:\n',
  '/etc/login.defs': 'ENCRYPT_METHOD YESCRYPT\n',
  '/etc/shells': '/bin/sh\n/bin/bash\n',
  '/bin/bash': '#!\n',
  '/bin/sh': '#!\n',
  '/usr/sbin/nologin': '#!\n',
  '/root/': '',
  '/home/ann/': '',
} as const;

const OWNERS = `
  chmod 640 etc/shadow; chgrp 42 etc/shadow; chmod 700 root; chown -R 1000:1000 home/ann
  setfattr -n security.selinux -v system_u:object_r:shadow_t:s0 etc/shadow`;

/** An ext4 image with a small system, and an agent that works on it with real, sandboxed jobs. */
export class AccessDisk {
  readonly image: string;
  readonly identity: string;
  readonly recipient: string;
  private readonly jobs: DiskJobs;
  private readonly folder: string;

  private constructor(folder: string, identity: string, recipient: string, jobs: DiskJobs) {
    this.folder = folder;
    this.image = imageIn(folder);
    this.identity = identity;
    this.recipient = recipient;
    this.jobs = jobs;
  }

  get fixture(): JobsFixture {
    return this.jobs.fixture;
  }

  /** A disk like another one was, of which `image` is a copy. */
  static async copy(image: string): Promise<AccessDisk> {
    const disk = await AccessDisk.empty();
    execFileSync('cp', ['--sparse=always', image, disk.image]);
    return disk;
  }

  static async create(files: Readonly<Record<string, string>> = {}): Promise<AccessDisk> {
    const disk = await AccessDisk.empty();
    const all = { ...smallSystem('web-04', ''), ...accountFiles, ...files };
    await makeDiskImage(disk.image, 'gpt', [{ mebibytes: MEBIBYTES, format: 'ext4', files: all }]);
    await disk.change((root) => {
      for (const name of ['bin/bash', 'bin/sh', 'usr/sbin/nologin']) {
        chmodSync(join(root, name), 0o755);
      }
      execFileSync('sh', ['-ec', OWNERS], { cwd: root });
    });
    return disk;
  }

  private static async empty(): Promise<AccessDisk> {
    const folder = await realpath(await mkdtemp(join(tmpdir(), 'iva-')));
    const identity = await generateX25519Identity();
    const recipient = await identityToRecipient(identity);
    const credentialRecipient = { type: 'age', recipient } as const;
    const jobs = await DiskJobs.on(imageIn(folder), { credentialRecipient });
    return new AccessDisk(folder, identity, recipient, jobs);
  }

  async close(): Promise<void> {
    await this.jobs.close();
    await rm(this.folder, { recursive: true, force: true });
  }

  /** Works on the mounted file system with the test's own hands. */
  change<T>(body: (root: string) => T): Promise<T> {
    return withMountedPartition(this.image, WINDOW, async (root) => body(root));
  }

  write(path: string, text: string, mode = 0o644): Promise<void> {
    return this.change((root) => {
      mkdirSync(dirname(join(root, path)), { recursive: true });
      writeFileSync(join(root, path), text);
      chmodSync(join(root, path), mode);
    });
  }

  sh(script: string): Promise<string> {
    return this.change((root) =>
      execFileSync('sh', ['-ec', script], { cwd: root, encoding: 'utf8' }),
    );
  }

  read(path: string): Promise<string | null> {
    return this.change((root) =>
      existsSync(join(root, path)) ? readFileSync(join(root, path), 'utf8') : null,
    );
  }

  /** All there is on it: names, types, modes, owners, targets of links, contents, attributes, flags. */
  look(): Promise<string> {
    return this.sh(`
      find . -path ./lost+found -prune -o -type l -printf '%p %l\\n' | sort
      find . -path ./lost+found -prune -o ! -type d ! -type l -printf '%p %y %m %U %G %s %T@\\n' | sort
      find . -path ./lost+found -prune -o -type d -printf '%p %y %m %U %G\\n' | sort
      find . -type f | sort | xargs sha256sum
      getfattr -R -h -d -m - . | cat
      lsattr -R . 2>/dev/null | sed 's/^\\(-*[ia-]*\\).* /\\1 /' | sort`);
  }

  /** Every file that the agent and its jobs left in their folder, read as Latin-1. */
  leftBehind(): { path: string; text: string }[] {
    return readdirSync(this.fixture.state, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ path, text: readFileSync(path, 'latin1') }));
  }

  start(change: Partial<JobSpec> & { action: string; parameters: Record<string, JsonValue> }) {
    return this.jobs.start(change);
  }

  finish(job: Job): Promise<Done> {
    return this.jobs.finish(job);
  }

  /** Makes a plan; throws what the job said when there is none. */
  plan(
    action: string,
    parameters: Record<string, JsonValue> = {},
    change: Partial<JobSpec> = {},
  ): Promise<{ plan: Plan; bytes: string }> {
    return this.jobs.plan({ action, parameters, ...change });
  }

  /** Plans and applies. */
  async run(
    action: string,
    parameters: Record<string, JsonValue> = {},
    change: Partial<JobSpec> = {},
  ): Promise<Done> {
    const { bytes } = await this.plan(action, parameters, change);
    return this.apply(action, bytes, parameters, change);
  }

  async apply(
    action: string,
    plan: string,
    parameters: Record<string, JsonValue> = {},
    change: Partial<JobSpec> = {},
  ): Promise<Done> {
    return this.finish(await this.start({ action, parameters, plan, ...change }));
  }

  async undo(
    action: string,
    job: string,
    parameters: Record<string, JsonValue> = {},
  ): Promise<Done> {
    return this.finish(await this.start({ action, parameters, mode: 'undo', undoes: job }));
  }

  /** Opens what a job sealed to the client. */
  async secretOf(job: string, name = 'password'): Promise<string> {
    const reader = new JournalReader(this.fixture.directory(job));
    reader.refresh();
    const found = reader.records.find(
      (record) => record.type === 'secret_sealed' && record.name === name,
    );
    if (found?.type !== 'secret_sealed') throw new Error(`${job} sealed no ${name}`);
    const { server } = this.fixture.spec({ parameters: {} });
    const bytes = Buffer.from(found.sealed, 'base64');
    return openSealedOutput(this.identity, { job, server, name }, bytes);
  }
}
