import { readFileSync } from 'node:fs';
import { FaultDisk, VirtualMachine } from '../test/lab/index.ts';
import type { DemoStage } from './demo-stage.ts';

const ACTIONS = [
  'diagnostics.collect',
  'boot.repair-fstab',
  'access.reset-password',
  'access.restore-ssh',
  'bootloader.repair',
];
const BOOT_CODE_BYTES = 440;
const PATIENCE_MS = 15 * 60_000;

/**
 * A server that does not start: its disk, a whole Debian 12 in a file, is broken in four ways, diagnosed,
 * repaired with what the diagnosis suggests, and started in a virtual machine, where root logs in.
 */
export async function secondAct(stage: DemoStage): Promise<void> {
  stage.heading('Another server does not start any more: four things on its disk are broken');
  stage.say('A Debian 12 on a partitioned disk (GPT), in a file. The first time it is built by');
  stage.say('mmdebstrap(1), which takes minutes, and kept; this disk is a copy.');
  const disk = await FaultDisk.copy('bios-gpt');
  stage.afterwards(() => disk.close());
  await breakDisk(stage, disk);
  await repairDisk(stage, disk.image);
  await startDisk(stage, disk.image);
  await stage.clear();
}

async function breakDisk(stage: DemoStage, disk: FaultDisk): Promise<void> {
  await disk.writeBytes(0, Buffer.alloc(BOOT_CODE_BYTES));
  await disk.inside(async (system) => {
    system.edit('etc/fstab', (text) => `${text}UUID=dead-beef /data ext4 defaults 0 2\n`);
    system.edit('etc/ssh/sshd_config', (text) => `PermitRootLogn yes\n${text}`);
    for (const user of ['root', 'carol']) await system.ok(['passwd', '--lock', user]);
  });
  stage.say(`boot loader  its ${BOOT_CODE_BYTES} bytes of boot code are zero`);
  stage.say('/etc/fstab   names a disk that is not there');
  stage.say('SSH          sshd_config holds "PermitRootLogn"');
  stage.say('accounts     the passwords of root, and of carol who may use sudo, are locked');
}

async function repairDisk(stage: DemoStage, image: string): Promise<void> {
  const erin = (...words: string[]) => ['--profile', 'erin', ...words, '--disk', image];

  stage.heading('The client authorizes what may be needed to start it again');
  await stage.show([
    ...['--profile', 'carol', 'authorize', 'web-04', '--ticket', 'T-8818'],
    ...['--actions', ACTIONS.join(','), '--for', '4h', '--highest-class', 'C'],
    ...['--backup', 'no', '--interruption', 'yes', '--yes'],
  ]);

  stage.heading('The engineer looks: nothing on the disk is changed');
  await stage.show(erin('diagnose', 'web-04', '--ticket', 'T-8818'));

  stage.heading('What would repair it, in the order one thing depends on another');
  await stage.show(erin('plan', 'web-04', '--from-findings', '--ticket', 'T-8818'));

  stage.heading('The repairs, one after the other, each planned on what the one before has left');
  const consent = ['--yes', '--accept-class-c'];
  await stage.show(erin('run', 'web-04', '--from-findings', '--ticket', 'T-8818', ...consent));

  stage.heading('The engineer looks again');
  await stage.show(erin('diagnose', 'web-04', '--ticket', 'T-8818'));
}

/** The proof of it all: nothing is asked of the product any more. */
async function startDisk(stage: DemoStage, image: string): Promise<void> {
  stage.heading('The disk is started in a virtual machine, and root logs in with the new password');
  const password = await openPassword(stage);
  const machine = await VirtualMachine.start({ firmware: 'bios', disks: [image] });
  stage.afterwards(() => machine.end());
  stage.say('It is emulated, which takes a minute on an idle machine.');
  const isIn = await machine.logsIn('root', password, PATIENCE_MS);
  if (!isIn) throw new Error('root could not log in');
  machine.type('systemctl is-active ssh.service multi-user.target\n');
  const active = await machine.shows(/^(\w+\n){2}/m);
  stage.say(
    `logged in as root; ssh.service, multi-user.target: ${active.trim().replace('\n', ', ')}`,
  );
  if (active !== 'active\nactive\n') throw new Error('the services of the disk did not start');
}

/** Only the client's key opens what the server has made. */
async function openPassword(stage: DemoStage): Promise<string> {
  const listed = await stage.unseen(['--profile', 'erin', 'jobs', 'list', '--json']);
  const { items } = JSON.parse(listed.stdout) as {
    items: { name: string; action: string; mode: string }[];
  };
  const reset = items.find((job) => job.action === 'access.reset-password' && job.mode === 'apply');
  if (reset === undefined) throw new Error('no password was made');
  const file = stage.file('new-password');
  const open = ['credentials', 'open', reset.name, '--output', file, '--yes'];
  await stage.quiet(['--profile', 'carol', ...open]);
  return readFileSync(file, 'utf8').trimEnd();
}
