/** What mdadm(8) `--examine` says of one disk or partition that belongs to a RAID. */
export interface RaidMember {
  /** As it was given to mdadm. */
  node: string;
  array: string;
  /** As the array was named, such as `shop:0`; its UUID where it has no name. */
  name: string;
  level: string;
  raidDevices: number;
  /** Grows with each change of the array: a member that lags behind was thrown out. */
  events: number;
  isSpare: boolean;
  /** As this member remembers it: `A` in use, `.` missing, `R` being replaced; null in old formats. */
  state: string | null;
  isClean: boolean;
  /** Its content is being moved to another shape (mdadm(8), `--grow`). */
  isReshaping: boolean;
}

/** An array, as far as its members are there. */
export interface RaidArray {
  uuid: string;
  name: string;
  level: string;
  raidDevices: number;
  /** Members whose content counts, spares included. */
  members: RaidMember[];
  /** Of the wanted disks, how many are in use and here. */
  present: number;
  isDegraded: boolean;
  /** Shut down as it should be: else its halves are compared when it is started for writing. */
  isClean: boolean;
  isReshaping: boolean;
}

/** The kernel takes a member that is one event behind (md(4)). */
const EVENTS_BEHIND = 1;

/** Null where the text tells of no member: damaged, or of a format that is not known. */
export function readRaidMember(node: string, text: string): RaidMember | null {
  const field = (name: string) => new RegExp(`^ *${name} : (.+)$`, 'm').exec(text)?.[1]?.trim();
  const array = field('Array UUID') ?? field('UUID')?.split(' ')[0];
  const level = field('Raid Level');
  const raidDevices = Number(field('Raid Devices'));
  // Old formats count in two halves: `0.17`.
  const events = Number(field('Events')?.replace(/^\d+\./, ''));
  if (array === undefined || !/^[0-9a-f]{8}(?::[0-9a-f]{8}){3}$/.test(array)) return null;
  if (level === undefined || !Number.isInteger(raidDevices) || !Number.isInteger(events)) {
    return null;
  }
  return {
    node,
    array,
    name: field('Name')?.replace(/ +\(local to host .*\)$/, '') ?? array,
    level,
    raidDevices,
    events,
    // What is still being filled does not count yet.
    isSpare: /^spare/i.test(field('Device Role') ?? '') || field('Recovery Offset') !== undefined,
    state: /^[A.R]+/.exec(field('Array State') ?? '')?.[0] ?? null,
    isClean: field('State') === 'clean',
    isReshaping: field("Reshape pos'n") !== undefined,
  };
}

/** The arrays that these members make up, by UUID. */
export function groupArrays(members: readonly RaidMember[]): RaidArray[] {
  const groups = Map.groupBy(members, ({ array }) => array);
  return [...groups.values()].map(arrayOf).toSorted((a, b) => a.uuid.localeCompare(b.uuid));
}

/** As mdadm(8) and udev name an array: by its name without the host's, and by its UUID. */
export function arrayPaths({ name, uuid }: Pick<RaidArray, 'name' | 'uuid'>): string[] {
  const own = /(?:^|:)([\w.-]{1,32})$/.exec(name)?.[1];
  const named = own === undefined || name === uuid ? [] : [`/dev/md/${own}`];
  const numbered = /^\d{1,3}$/.test(own ?? '') ? [`/dev/md${own}`] : [];
  return [...named, ...numbered, `/dev/disk/by-id/md-uuid-${uuid}`];
}

function arrayOf(all: readonly RaidMember[]): RaidArray {
  const newest = all.reduce((a, b) => (b.events > a.events ? b : a));
  const members = all.filter(({ events }) => events + EVENTS_BEHIND >= newest.events);
  const present = members.filter(({ isSpare }) => !isSpare).length;
  const isDegraded = present < newest.raidDevices || newest.state?.includes('.') === true;
  return {
    uuid: newest.array,
    name: newest.name,
    level: newest.level,
    raidDevices: newest.raidDevices,
    members,
    present: Math.min(present, newest.raidDevices),
    isDegraded,
    isClean: members.every(({ isClean }) => isClean),
    isReshaping: members.some(({ isReshaping }) => isReshaping),
  };
}
