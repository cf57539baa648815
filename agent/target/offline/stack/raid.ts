import { constants, existsSync } from 'node:fs';
import { open, readFile } from 'node:fs/promises';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import type { OpenedDevice } from './device-mapper.ts';
import { readRaidMember, type RaidArray, type RaidMember } from './raid-members.ts';

/**
 * Arrays of jobs have these numbers, the last first: the kernel takes 0 to 511, mdadm by itself goes down from
 * 127. What a killed job left behind is known by it.
 */
export const RAID_NUMBERS = { first: 448, last: 511 } as const;

const START_WITHIN_MS = 60_000;

type Context = Pick<ActionContext, 'run' | 'note' | 'signal'>;

/** Null for what says that it is a member and cannot be read as one. */
export async function examineMember(context: Context, node: string): Promise<RaidMember | null> {
  const done = await context.run(['mdadm', '--examine', node], {
    output: 'capture',
    signal: context.signal,
  });
  return done.exitStatus === 0 ? readRaidMember(node, done.out) : null;
}

/**
 * Starts an array of these members and no others; a degraded one only where its members cannot be written.
 * Throws ActionError `raid_unavailable`, `array_incomplete`.
 */
export async function openArray(context: Context, array: RaidArray): Promise<OpenedDevice> {
  const device = `/dev/md${freeNumber()}`;
  const nodes = array.members.map(({ node }) => node);
  const run = array.isDegraded ? ['--run'] : [];
  const done = await context.run(
    ['mdadm', '--assemble', device, '--config=none', ...run, ...nodes],
    { output: 'capture', timeoutMs: START_WITHIN_MS },
  );
  const stop = async () => {
    const argv = ['mdadm', '--stop', device];
    const stopped = await context.run(argv, { output: 'capture', timeoutMs: START_WITHIN_MS });
    if (stopped.exitStatus !== 0) context.note(`${device} stays for now: ${stopped.err.trim()}`);
  };
  // mdadm answers 0 for what it has not started, too.
  if (!(await isStarted(device))) {
    if (existsSync(sysfsOf(device))) await stop();
    if (!existsSync('/proc/mdstat')) {
      throw new ActionError(
        'raid_unavailable',
        'the kernel of this machine has no software RAID: load its module md_mod, or start the ' +
          'server from a rescue system whose kernel has it',
      );
    }
    throw new ActionError(
      'array_incomplete',
      `it does not start with ${array.present} of ${array.raidDevices} disks: ${done.err.trim().slice(0, 300)}`,
    );
  }
  const handle = await open(device, constants.O_RDONLY).catch(async (error: unknown) => {
    await stop();
    throw error;
  });
  return {
    device,
    async close() {
      await handle.close();
      await stop();
    },
  };
}

function freeNumber(): number {
  for (let number: number = RAID_NUMBERS.last; number >= RAID_NUMBERS.first; number--) {
    if (!existsSync(sysfsOf(`/dev/md${number}`))) return number;
  }
  throw new ActionError('not_opened', 'no number is free for another RAID');
}

function sysfsOf(device: string): string {
  return `/sys/block/${device.slice('/dev/'.length)}`;
}

/** A RAID that was not started has no size. */
async function isStarted(device: string): Promise<boolean> {
  const state = await readFile(`${sysfsOf(device)}/md/array_state`, 'utf8').catch(() => 'clear');
  return !['clear', 'inactive'].includes(state.trim());
}
