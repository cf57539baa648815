import { z } from 'zod';

/** The columns of lvm(8) that `readVolumeGroups` reads, for `lvm fullreport --units s`. */
export const REPORT_COLUMNS = [
  ['vg', 'vg_uuid,vg_name,vg_extent_size,vg_missing_pv_count'],
  ['pv', 'pv_name,pv_uuid,pv_major,pv_minor,pe_start,pv_missing'],
  ['lv', 'lv_uuid,lv_name,lv_size,lv_role,lv_layout'],
  ['seg', 'lv_uuid,segtype,seg_start,seg_size,stripes,stripe_size,devices'],
  // Without columns of its own every segment of every disk would be told in full.
  ['pvseg', 'pvseg_start'],
] as const;

export interface LogicalVolume {
  name: string;
  uuid: string;
  bytes: number;
  /** The disks of the group that it lies on, as lvm(8) names them. */
  on: string[];
  /** A table of the device mapper (dmsetup(8)) that gives its bytes; null where there is none. */
  table: string | null;
  /** Why there is no table, in words. */
  problem: string | null;
}

export interface VolumeGroup {
  name: string;
  uuid: string;
  /** Disks that belong to it and are not there. */
  missing: number;
  volumes: LogicalVolume[];
}

/** Numbers come as text, in sectors of 512 bytes; a disk may say anything, and more than counts exactly. */
const number = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const plainName = z.string().regex(/^[A-Za-z0-9+_.-]{1,127}$/);
const uuid = z.string().regex(/^[A-Za-z0-9-]{38}$/);

const reportSchema = z.object({
  report: z.array(
    z.object({
      vg: z.array(
        z.object({
          vg_uuid: z.string(),
          vg_name: z.string(),
          vg_extent_size: z.string(),
          vg_missing_pv_count: z.string(),
        }),
      ),
      pv: z.array(
        z.object({
          pv_name: z.string(),
          pv_major: z.string(),
          pv_minor: z.string(),
          pe_start: z.string(),
          pv_missing: z.string(),
        }),
      ),
      lv: z.array(
        z.object({
          lv_uuid: uuid,
          lv_name: plainName,
          lv_size: number,
          lv_role: z.string(),
          lv_layout: z.string(),
        }),
      ),
      seg: z.array(
        z.object({
          lv_uuid: uuid,
          segtype: z.string(),
          seg_start: number,
          seg_size: number,
          stripes: number,
          stripe_size: number,
          devices: z.string(),
        }),
      ),
    }),
  ),
});
type Report = z.output<typeof reportSchema>['report'][number];
type Segment = Report['seg'][number];

/**
 * The volume groups in the report of `lvm fullreport --reportformat json --units s --nosuffix`. Throws where
 * it is none: the tool answered what nobody expects.
 */
export function readVolumeGroups(text: string): VolumeGroup[] {
  const { report } = reportSchema.parse(JSON.parse(text));
  return report.flatMap((one) => {
    const [group] = one.vg;
    // Disks without a group are told as a group without a name.
    if (group === undefined || group.vg_name === '') return [];
    return [
      {
        name: plainName.parse(group.vg_name),
        uuid: uuid.parse(group.vg_uuid),
        missing: number.parse(group.vg_missing_pv_count),
        // What is private is a piece of others, such as the pool of thin volumes.
        volumes: one.lv
          .filter(({ lv_role: role }) => !/\bprivate\b/.test(role))
          .map((volume) => logicalVolume(one, volume)),
      },
    ];
  });
}

function logicalVolume(report: Report, volume: Report['lv'][number]): LogicalVolume {
  const segments = report.seg
    .filter(({ lv_uuid: its }) => its === volume.lv_uuid)
    .toSorted((a, b) => a.seg_start - b.seg_start);
  const on = new Set(segments.flatMap(({ devices }) => devices.match(/[^,(]+(?=\()/g) ?? []));
  const { lv_name: name, lv_uuid: id, lv_size: sectors } = volume;
  const told = { name, uuid: id, bytes: sectors * 512, on: [...on] };
  // What has a snapshot must not be written past it.
  if (volume.lv_role !== 'public' || segments.some(({ segtype }) => !OPENED.has(segtype))) {
    const path = `${plainName.parse(report.vg[0]!.vg_name)}/${name}`;
    return { ...told, table: null, problem: whyNotOpened(volume, path) };
  }
  const lines = segments.map((segment) => tableLine(report, segment));
  if (lines.length === 0 || lines.includes(null)) {
    return { ...told, table: null, problem: 'a disk that it lies on is not there' };
  }
  return { ...told, table: `${lines.join('\n')}\n`, problem: null };
}

const OPENED = new Set(['linear', 'striped']);

/** By words of `lv_role` and `lv_layout` (lvs(8)). */
const KINDS: readonly [RegExp, string][] = [
  [/\bsnapshot\b/, 'it is a snapshot of another volume'],
  [/\borigin\b/, 'it has snapshots, which lose what they show when it is written past them'],
  [/\bthin\b/, 'it is a thin volume, whose blocks lie in a pool with those of others'],
  [/\b(?:raid\d*|mirror)\b/, 'LVM itself keeps it on several disks'],
  [/\b(?:cache|writecache)\b/, 'a part of its content may lie in its cache alone'],
];

/** Why a plain mapping would show or do the wrong thing, and what a person can do instead. */
function whyNotOpened({ lv_role: role, lv_layout: layout }: Report['lv'][number], path: string) {
  const kind = role === 'public' ? layout : role;
  const why = KINDS.find(([word]) => word.test(kind))?.[1] ?? 'it is no plain volume';
  return (
    `${why}, and such a one is not opened here (${kind}): activate it by hand ` +
    `(lvchange --activate y ${path}), and name it as a device, without --disk`
  );
}

/** One line of a table: a range of the volume, and where it lies; null where a disk of it is missing. */
function tableLine({ vg, pv }: Report, segment: Segment): string | null {
  const extent = number.parse(vg[0]!.vg_extent_size);
  const places: string[] = [];
  for (const place of segment.devices.split(',')) {
    const [, path, first] = /^(.+)\((\d{1,15})\)$/.exec(place) ?? [];
    const disk = pv.find((one) => one.pv_name === path && one.pv_missing === '');
    if (disk === undefined || first === undefined) return null;
    const at = number.parse(disk.pe_start) + Number(first) * extent;
    places.push(`${number.parse(disk.pv_major)}:${number.parse(disk.pv_minor)} ${at}`);
  }
  const range = `${segment.seg_start} ${segment.seg_size}`;
  if (places.length === 1) return `${range} linear ${places[0]}`;
  return `${range} striped ${places.length} ${segment.stripe_size} ${places.join(' ')}`;
}
