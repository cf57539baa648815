import type { ActionContext } from '../../../runner/action.ts';
import { ActionError } from '../../../runner/action.ts';
import { readVolumeGroups, REPORT_COLUMNS, type VolumeGroup } from './volume-groups.ts';

type Context = Pick<ActionContext, 'run' | 'signal'>;

/**
 * The volume groups on these devices and no others. What lvm(8) reads it reads past all locks and without the
 * kernel (`--readonly`), and nothing of this machine's own groups: two may well have one name.
 */
export async function readGroups(
  context: Context,
  devices: readonly string[],
): Promise<VolumeGroup[]> {
  const columns = REPORT_COLUMNS.flatMap(([of, names]) => ['--configreport', of, '-o', names]);
  const done = await context.run(
    [
      ...['lvm', 'fullreport', '--readonly', '--config', configOf(devices)],
      ...['--reportformat', 'json', '--units', 's', '--nosuffix', ...columns],
    ],
    { output: 'capture', signal: context.signal },
  );
  try {
    return readVolumeGroups(done.out);
  } catch {
    throw new ActionError('not_opened', `lvm: ${done.err.trim().slice(0, 300) || 'no report'}`);
  }
}

function configOf(devices: readonly string[]): string {
  const taken = devices.map((device) => `"a|^${device}$|"`);
  return [
    'devices {',
    `filter=[${[...taken, '"r|.*|"'].join(',')}]`,
    `global_filter=["a|.*|"]`,
    // The names that the filter has, where a device has several.
    'preferred_names=["^/dev/dm-","^/dev/md","^/dev/loop"]',
    'use_devicesfile=0 obtain_device_list_from_udev=0 external_device_info_source="none"',
    'hints="none" scan_lvs=1',
    '}',
    'log { file="" syslog=0 activation=0 }',
  ].join(' ');
}
