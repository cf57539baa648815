import { ActionError, type ActionContext, type ActionImplementation } from '../../runner/action.ts';
import { inspectDevice } from '../../target/block-device.ts';
import { findUse } from '../../target/device-use.ts';
import { applyRepair } from './ext/apply-repair.ts';
import { checkFilesystem } from './ext/check-filesystem.ts';
import { findKind } from './filesystem-kind.ts';
import { withNamedVolume, type NamedVolume } from './on-partition.ts';
import { planRepair } from './ext/plan-repair.ts';
import { undoRepair } from './ext/undo-repair.ts';
import { hasVolumeImage } from './volume/volume-image.ts';
import {
  applyVolume,
  checkVolume,
  planVolume,
  undoVolume,
  type VolumeKind,
} from './volume/repair-volume.ts';

export const filesystemCheck: ActionImplementation = {
  apply: (context) =>
    byKind(context, false, {
      ext: ({ context: own }) => checkFilesystem(own),
      other: checkVolume,
    }),
};

export const filesystemRepair: ActionImplementation = {
  plan: (context) =>
    byKind(context, false, {
      async ext({ context: own, ids, name, device }) {
        const body = await planRepair(own);
        const summary = name === device ? body.summary : `${body.summary} It is ${name}.`;
        return { ...body, summary, target: { ...ids, ...body.target } };
      },
      other: planVolume,
    }),
  async apply(context, plan) {
    if (plan === null) throw new ActionError('plan_missing', 'a repair needs a plan');
    return byKind(context, true, {
      ext: ({ context: own }) => applyRepair(own, plan),
      other: (volume, kind) => applyVolume(volume, kind, plan),
    });
  },
  // By what was saved: what a repair that was cut off left may not be recognised as anything.
  undo: (context) =>
    withNamedVolume(context, { write: true }, (volume) =>
      hasVolumeImage(context.undone) ? undoVolume(volume) : undoRepair(volume.context),
    ),
};

interface ByKind<T> {
  ext: (volume: NamedVolume) => Promise<T>;
  other: (volume: NamedVolume, kind: VolumeKind) => Promise<T>;
}

/** What is done depends on what the volume holds, also where its first superblock is gone. */
function byKind<T>(context: ActionContext, write: boolean, { ext, other }: ByKind<T>): Promise<T> {
  return withNamedVolume(context, { write }, async (volume) => {
    const device = await inspectDevice(volume.device);
    const use = await findUse(device);
    if (use !== null) {
      throw new ActionError('device_in_use', `${device.path} is in use: ${use}`);
    }
    const kind = await findKind(context, device);
    return kind === 'ext' ? ext(volume) : other(volume, kind);
  });
}
