import { DISK_KEY } from '../../../../proto/actions/declaration.ts';
import { ALL_DISKS } from '../../../../proto/documents/kinds/order.ts';
import { CommandStartError } from '../../../process/command-start-error.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { inspectDevice } from '../../block-device.ts';
import { showPartitions } from '../attached-disk.ts';
import { volumesOn, type Volume, type WholeDevice } from '../volumes.ts';
import { mapName, openMap, requireDeviceMapper, type OpenedDevice } from './device-mapper.ts';
import { isKeyOf, unlock } from './encrypted-volume.ts';
import { readGroups } from './logical-volumes.ts';
import { nextLayer, type Layer } from './next-layer.ts';
import { examineMember, openArray } from './raid.ts';
import { arrayPaths, groupArrays, type RaidArray } from './raid-members.ts';
import { FORBIDS_WRITING, type StorageProblem } from './storage-problem.ts';
import type { VolumeGroup } from './volume-groups.ts';

/** Storage that lies deeper, or in more pieces, than any that was made to be used. */
const MOST_LAYERS = 16;
const MOST_VOLUMES = 512;

export interface OpenedStorage {
  /** Those of the disks, and what was opened from them. */
  volumes: Volume[];
  problems: StorageProblem[];
}

type Context = Pick<ActionContext, 'run' | 'note' | 'spec' | 'signal' | 'sealedInputs'>;

/**
 * Opens what lies on the volumes of disks: RAID, LUKS with the key of the order, LVM, in whatever order they are
 * nested. What cannot be opened is told, not thrown; but for a key that opens nothing (`disk_key_wrong`).
 *
 * To plan or to write while a disk is missing throws ActionError: `array_degraded`, `array_incomplete`,
 * `volume_group_incomplete`; while content is moved `array_reshaping`.
 *
 * @param opened takes what is to be closed afterwards
 */
export async function openStorage(
  context: Context,
  disks: readonly Volume[],
  place: string,
  options: { write: boolean },
  opened: AsyncDisposableStack,
): Promise<OpenedStorage> {
  return new StorageOpening(context, disks, place, options, opened).run();
}

class StorageOpening {
  private readonly context: Context;
  private readonly volumes: Volume[];
  private readonly place: string;
  private readonly write: boolean;
  private readonly opened: AsyncDisposableStack;
  private readonly problems: StorageProblem[] = [];
  private readonly done = new Set<Volume>();
  private readonly groups = new Set<string>();
  private maps = 0;
  private unlocked = 0;
  private locked: Volume[] = [];

  constructor(
    context: Context,
    disks: readonly Volume[],
    place: string,
    { write }: { write: boolean },
    opened: AsyncDisposableStack,
  ) {
    this.context = context;
    this.volumes = [...disks];
    this.place = place;
    this.write = write;
    this.opened = opened;
  }

  async run(): Promise<OpenedStorage> {
    for (let count = 0; count < MOST_LAYERS; count++) {
      this.context.signal.throwIfAborted();
      const layer = nextLayer(this.volumes, this.done);
      if (layer === null) break;
      for (const volume of layer.volumes) this.done.add(volume);
      await this.openLayer(layer);
    }
    this.judgeKey();
    return { volumes: this.volumes, problems: this.problems };
  }

  private async openLayer({ kind, volumes }: Layer): Promise<void> {
    switch (kind) {
      case 'raid':
        return this.openArrays(volumes);
      case 'luks':
        for (const volume of volumes) await this.openEncrypted(volume);
        return;
      case 'lvm':
        return this.openGroups();
    }
  }

  private async openArrays(volumes: readonly Volume[]): Promise<void> {
    const members = [];
    for (const volume of volumes) {
      const command = `mdadm --examine ${volume.name}`;
      const member = await this.tell(volume.name, command, () =>
        examineMember(this.context, volume.node),
      );
      if (member === undefined) continue;
      if (member !== null) members.push(member);
      else this.problem('not_opened', volume.name, 'its part of a RAID cannot be read', command);
    }
    for (const array of groupArrays(members)) await this.openArray(array, volumes);
  }

  private async openArray(array: RaidArray, volumes: readonly Volume[]): Promise<void> {
    const layer = `${array.level.toUpperCase()} ${printable(array.name)}`;
    const on = array.members.map(({ node }) => volumes.find((one) => one.node === node)!);
    const command = `mdadm --examine ${on.map((one) => one.name).join(', ')}`;
    if (array.isReshaping) {
      const why =
        'its content is being moved to another shape: only its own system goes on with that';
      this.problem('array_reshaping', layer, why, command);
      return;
    }
    if (array.isDegraded) {
      const why = `${array.present} of its ${array.raidDevices} disks are in use${this.amongNamed()}`;
      this.problem('array_degraded', layer, why, command);
    }
    if (!array.isClean && this.changes) {
      this.context.note(
        `${layer} was not shut down cleanly: as soon as it is opened for writing the kernel makes its disks the same again, which no undo takes back.`,
      );
    }
    const device = await this.tell(layer, command, () => openArray(this.context, array));
    if (device === undefined) return;
    this.opened.defer(() => device.close());
    await showPartitions(this.context, device.device);
    await this.add(device, `raid-${array.uuid.replaceAll(':', '')}`, on, layer, {
      name: layer,
      paths: arrayPaths(array),
    });
  }

  private async openEncrypted(volume: Volume): Promise<void> {
    const key = this.context.sealedInputs[DISK_KEY];
    if (key === undefined) {
      this.locked.push(volume);
      return;
    }
    const map = this.nextMap();
    const device = await this.tell(volume.name, `cryptsetup open ${volume.name}`, async () => {
      try {
        await requireDeviceMapper();
      } catch (error) {
        // Whoever gave the key learns here, and not after another boot, that it is the wrong one.
        if (!(await isKeyOf(this.context, volume.node, key))) return null;
        throw error;
      }
      return unlock(this.context, volume.node, map, key, { write: this.write });
    });
    if (device === undefined) return;
    if (device === null) {
      this.locked.push(volume);
      return;
    }
    this.opened.defer(() => device.close());
    this.unlocked++;
    await this.add(device, `luks-${this.unlocked}`, [volume], 'LUKS', {
      name: `${volume.name}, decrypted`,
      // What systemd and anaconda call it; other names stand in /etc/crypttab of a system within.
      paths: volume.uuid === null ? [] : [`/dev/mapper/luks-${volume.uuid}`],
    });
  }

  private async openGroups(): Promise<void> {
    const on = this.volumes.filter(({ type }) => type === 'LVM2_member');
    const devices = on.map(({ device }) => device);
    const command = 'lvm fullreport';
    const groups = await this.tell('LVM', command, () => readGroups(this.context, devices));
    for (const group of groups ?? []) {
      if (this.groups.has(group.uuid)) continue;
      this.groups.add(group.uuid);
      await this.openGroup(group, on);
    }
  }

  private async openGroup(group: VolumeGroup, on: readonly Volume[]): Promise<void> {
    const command = `lvm vgs ${group.name}`;
    if (group.missing > 0) {
      const why =
        group.missing === 1
          ? 'one of its disks is not there'
          : `${group.missing} of its disks are not there`;
      const subject = `volume group ${group.name}`;
      this.problem('volume_group_incomplete', subject, `${why}${this.amongNamed()}`, command);
    }
    for (const volume of group.volumes) {
      const { name, uuid, table } = volume;
      const subject = `logical volume ${group.name}/${name}`;
      if (table === null) {
        this.problem('volume_unsupported', subject, volume.problem!, command);
        continue;
      }
      const map = this.nextMap();
      const device = await this.tell(subject, command, async () => {
        await requireDeviceMapper();
        return openMap(this.context, map, table, { write: this.write });
      });
      if (device === undefined) continue;
      this.opened.defer(() => device.close());
      const its = on.filter((one) => volume.on.includes(one.device));
      await this.add(device, `lv-${uuid}`, its, 'LVM', {
        name: subject,
        paths: [
          `/dev/${group.name}/${name}`,
          mapperPath(group.name, name),
          `/dev/disk/by-id/dm-uuid-LVM-${`${group.uuid}${uuid}`.replaceAll('-', '')}`,
        ],
      });
    }
  }

  /** Lists what is on an opened device. */
  private async add(
    { device }: OpenedDevice,
    id: string,
    on: readonly Volume[],
    layer: string,
    named: Pick<WholeDevice, 'name' | 'paths'>,
  ): Promise<void> {
    const { bytes } = await inspectDevice(device);
    const disks = [...new Set(on.flatMap((one) => one.disks))];
    const disk = disks.length === 1 ? disks[0]! : null;
    const layers = [...(on[0]?.layers ?? []), layer];
    const whole = { ...named, device, bytes, disk, disks, layers };
    const found = await volumesOn(this.context, whole, this.place, id);
    this.volumes.push(...found);
    if (this.volumes.length > MOST_VOLUMES) {
      throw new ActionError('not_opened', `the disks hold more than ${MOST_VOLUMES} volumes`);
    }
  }

  /** Does something with a piece of storage; where it fails that is told, and undefined comes back. */
  private async tell<T>(
    subject: string,
    command: string,
    body: () => Promise<T>,
  ): Promise<T | undefined> {
    try {
      return await body();
    } catch (error) {
      if (error instanceof CommandStartError) {
        this.problem('tool_missing', subject, error.message, command);
      } else if (error instanceof ActionError) {
        this.problem(error.reason as StorageProblem['reason'], subject, error.message, command);
      } else throw error;
      return undefined;
    }
  }

  /** Whether this job writes, or says what another one will write. */
  private get changes(): boolean {
    return this.write || this.context.spec.mode === 'plan';
  }

  private problem(
    reason: StorageProblem['reason'],
    subject: string,
    why: string,
    command: string,
  ): void {
    if (this.changes && FORBIDS_WRITING.has(reason)) {
      throw new ActionError(reason, `${subject}: ${why}. Nothing is written to what is left of it`);
    }
    this.problems.push({ reason, subject, why, command });
  }

  /** The key belongs to one of the volumes, or else to none of these disks. */
  private judgeKey(): void {
    const isGiven = this.context.sealedInputs[DISK_KEY] !== undefined;
    if (this.locked.length > 0 && isGiven && this.unlocked === 0) {
      const names = this.locked.map(({ name }) => name).join(', ');
      throw new ActionError('disk_key_wrong', `the key of the order does not open ${names}`);
    }
    for (const { name } of this.locked) {
      const why = isGiven
        ? 'the key of the order does not open it'
        : 'it is encrypted, and the order brings no key';
      this.problem('disk_key_missing', name, why, `cryptsetup luksDump ${name}`);
    }
  }

  /** What is missing may lie on a disk that the order does not name. */
  private amongNamed(): string {
    const isAll = this.context.spec.target?.['disk'] === ALL_DISKS;
    return isAll ? '' : ', among the disks that the order names (--disk all: every unused one)';
  }

  private nextMap(): string {
    return mapName(this.context, ++this.maps);
  }
}

/** As the device mapper names a logical volume: a hyphen within a name is doubled. */
function mapperPath(group: string, name: string): string {
  return `/dev/mapper/${group.replaceAll('-', '--')}-${name.replaceAll('-', '--')}`;
}

/** What is written on a disk, for people. */
function printable(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]/g, '?').slice(0, 64);
}
