import { expect, test } from 'vitest';
import type { JobSpec } from './job-spec.ts';
import { sandboxArguments, type SandboxPaths } from './sandbox.ts';

const paths: SandboxPaths = {
  stateDirectory: '/state',
  jobDirectory: '/state/jobs/j',
  programs: ['/opt/intervene'],
  protectedPaths: ['/etc/intervene'],
  hiddenDirectories: ['/root', '/tmp'],
  hiddenFiles: ['/etc/shadow'],
  shownFiles: [],
  observations: null,
  device: { given: '/dev/disk/x', real: '/dev/sdb', kind: 'block', readOnlyNode: '/state/n' },
  backups: { path: '/mnt/backup/intervene-j', isWritable: true, isTransient: false },
  undoneDirectory: null,
  guard: null,
};
const withMode = (mode: JobSpec['mode']) => ({ mode });
const device = { capabilities: ['device'], changes: true } as const;

const text = (...given: Parameters<typeof sandboxArguments>) =>
  sandboxArguments(...given).join(' ');

test('the network is shared only with those who declare it', () => {
  const host = { capabilities: ['host'], changes: true } as const;
  const both = { capabilities: ['host', 'network'], changes: true } as const;
  expect(text(host, withMode('apply'), paths)).toContain('--unshare-net');
  expect(text(device, withMode('apply'), paths)).toContain('--unshare-net');
  expect(text(both, withMode('apply'), paths)).not.toContain('--unshare-net');
});

test('a device is writable only for a mode that changes', () => {
  const apply = text(device, withMode('apply'), paths);
  expect(apply).toContain('--dev-bind /dev/sdb /dev/sdb --symlink /dev/sdb /dev/disk/x');
  expect(apply).toContain(' --bind /mnt/backup/intervene-j /mnt/backup/intervene-j');
  expect(apply.lastIndexOf('--ro-bind /etc/intervene')).toBeGreaterThan(
    apply.indexOf('/mnt/backup'),
  );
  expect(apply).toContain('--cap-drop ALL');
  const transient = { path: '/mnt/backup/intervene-j', isWritable: false, isTransient: true };
  const plan = text(device, withMode('plan'), { ...paths, backups: transient });
  expect(plan).toContain('--dev-bind /state/n /dev/sdb');
  expect(plan).toContain('--ro-bind /mnt/backup/intervene-j /mnt/backup/intervene-j');
  expect(plan).not.toContain('CAP_DAC_OVERRIDE');
  const check = { capabilities: ['device'], changes: false } as const;
  expect(text(check, withMode('apply'), paths)).not.toContain('CAP_DAC_OVERRIDE');
});

test('an image is bound as a file, read-only unless it is changed', () => {
  const image = { given: '/srv/a.img', real: '/srv/a.img', kind: 'file', readOnlyNode: null };
  const withImage = { ...paths, device: image as SandboxPaths['device'] };
  expect(text(device, withMode('plan'), withImage)).toContain('--ro-bind /srv/a.img /srv/a.img');
  expect(text(device, withMode('undo'), withImage)).toContain(' --bind /srv/a.img /srv/a.img');
});

test('powers to mount come only with the capability', () => {
  const mount = { capabilities: ['disks'], changes: true } as const;
  expect(text(mount, withMode('apply'), paths)).toContain('CAP_SYS_ADMIN');
  expect(text(device, withMode('apply'), paths)).not.toContain('CAP_SYS_ADMIN');
});

test('of the state folder there is only the job, and the undone job read-only', () => {
  const undo = { ...paths, undoneDirectory: '/state/jobs/u' };
  const words = text(device, withMode('undo'), undo);
  expect(words).toContain('--tmpfs /state --bind /state/jobs/j /state/jobs/j');
  expect(words).toContain('--ro-bind /state/jobs/u /state/jobs/u');
});
