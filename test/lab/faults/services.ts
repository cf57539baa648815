import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import type { Fault } from './fault.ts';
import { keepArchive } from './keep-archive.ts';

export const serviceFaults: readonly Fault[] = [
  {
    id: 'S01',
    title: "the client's service is masked",
    proof: 'repair',
    disk: 'bios-gpt',
    finding: 'svc.masked_unit',
    action: 'service.configure',
    undo: 'files',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.hostOk(['systemctl', '--root=R', 'mask', 'nginx.service']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const { stdout } = await system.host(['systemctl', '--root=R', 'is-enabled', 'nginx']);
        assert.equal(stdout, 'enabled\n');
      }),
  },
  {
    id: 'S02',
    title: 'a drop-in gives a service two commands to start',
    proof: 'repair',
    disk: 'bios-gpt',
    finding: 'svc.bad_unit',
    action: 'service.override',
    undo: 'files',
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.ok(['mkdir', '/etc/systemd/system/nginx.service.d']);
        system.write(
          'etc/systemd/system/nginx.service.d/start.conf',
          '[Service]\nExecStart=/usr/sbin/nginx -g "daemon on;"\nType=simple\n',
        );
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const verify = ['systemd-analyze', 'verify', '--man=no', 'nginx.service'];
        const { stdout, stderr } = await system.inside(['env', 'SYSTEMD_OFFLINE=1', ...verify]);
        assert.doesNotMatch(stdout + stderr, /nginx\.service:.*(ExecStart=|bad)/);
      }),
  },
  {
    id: 'S03',
    title: 'the configuration of a daemon has an error',
    proof: 'repair',
    disk: 'bios-gpt',
    finding: 'svc.config_bad',
    action: 'service.restore-configuration',
    undo: 'files',
    inject: (disk) =>
      disk.inside(async (system) => {
        await keepArchive(system, 'nginx-common');
        system.edit('etc/nginx/nginx.conf', (text) => text.replace('sendfile on;', 'sendfile on'));
      }),
    check: (disk) => disk.look(async (system) => void (await system.ok(['nginx', '-t']))),
  },
  {
    id: 'S04',
    title: 'the folder of a daemon is missing',
    proof: 'repair',
    disk: 'bios-gpt',
    finding: 'svc.missing_folder',
    action: 'packages.repair',
    undo: 'files',
    inject: (disk) =>
      disk.inside((system) => rmSync(system.path('var/log/nginx'), { recursive: true })),
    check: (disk) => disk.look(async (system) => void (await system.ok(['nginx', '-t']))),
  },
  {
    id: 'S05',
    title: 'the system starts into rescue mode',
    proof: 'repair',
    disk: 'bios-gpt',
    finding: 'boot.default_target',
    action: 'service.configure',
    undo: 'files',
    boots: true,
    inject: (disk) =>
      disk.inside(async (system) => {
        await system.hostOk(['systemctl', '--root=R', 'set-default', 'rescue.target']);
      }),
    check: (disk) =>
      disk.look(async (system) => {
        const target = await system.hostOk(['systemctl', '--root=R', 'get-default']);
        assert.match(target, /^(multi-user|graphical)\.target\n$/);
      }),
  },
  {
    id: 'S06',
    title: 'a service of the running system has failed',
    proof: 'live',
    test: 'test/system/services.test.ts',
  },
];
