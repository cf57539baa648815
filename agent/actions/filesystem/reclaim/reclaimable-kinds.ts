import type { ReclaimExtra } from '../../../../proto/actions/reclaim.ts';
import type { TargetFiles } from '../../../target/target-files.ts';
import { whyArchivesAreNeeded } from '../../packages/archives-needed.ts';

/** A file that may be one to remove. */
export interface Candidate {
  name: string;
  /** Absolute in the target, without symlinks. */
  folder: string;
  /** What the file system gets back. */
  bytes: number;
  /** Nanoseconds since 1970. */
  changedAt: bigint;
}

/** What becomes of a file in a folder that is looked through; else why one stays that a person may expect to go, as in `Staying`. */
export type Verdict = 'goes' | 'other' | { stays: string };

/** One kind of files that nobody misses, or that come back by themselves. */
export interface ReclaimableKind {
  /** Id of the step that removes them. */
  id: string;
  /** Only where the order names it. */
  extra?: ReclaimExtra;
  /** `3 downloaded packages` */
  one: string;
  many: string;
  /** Folders of the target that are looked through, so deep. */
  places: readonly { folder: string; depth: number }[];
  /** @param beside the plain files of the same folder by name */
  judge: (candidate: Candidate, beside: ReadonlyMap<string, Candidate>) => Verdict;
  /** Why another repair of this system needs them, and all of them stay; null when none does. */
  whyNeeded?: (files: TargetFiles) => Promise<string | null>;
  /** Of all that were found, those that go; the others stay for that reason. */
  choose?: {
    goes: (found: readonly Candidate[], keepJournalBytes: number) => Candidate[];
    whyOthersStay: string;
  };
  /** Why they cannot be put back, and what that means. */
  undo: string;
}

/** logrotate(8): `syslog.1`, `auth.log.2.gz`, `access.log-20260131.xz`; never `mysql-bin.000001`. */
const ROTATED =
  /^(?<stem>.+?)(?:\.[1-9]\d{0,2}|-(?:19|20)\d{6}(?:-\d{1,10})?)(?:\.(?:gz|xz|bz2|zst))?$/;
/** Logs whose names do not say that they are. */
const LOGS =
  /(?:^|[^a-z])(?:sys|mail|xfer|fail|last|slow|error|access|audit|debug|event)?logs?(?![a-z])|^(?:messages|secure|cron|spooler|[bw]tmp|dmesg|kern|debug|user|daemon|boot|access|error|mail\.(?:info|err|warn))$/i;
/** What people put below /var/log and is no log, whatever else its name says. */
const SAVED = /backup|dump|\.(?:sql|tar)(?![a-z])/i;
/** systemd-journald(8): archived, or set aside because they were not closed; never one that is written. */
const ARCHIVED = /^(?:system|user-\d+)@[0-9a-f-]+\.journal$|\.journal~$/;
/** What update-initramfs(8) and dpkg leave beside an initramfs when they are cut off. */
const LEFTOVER = /^(?<of>(?:initrd\.img|initramfs)-.+)\.(?:new|dpkg-bak|dpkg-new|bak)$/;
/** One initramfs is about as large as the next of the same kernel: a far smaller one is cut short. */
const WHOLE_SHARE = 0.75;
/** Whoever looks for room would ask why a log of this size is still there. */
const LARGE = 64 * 1024 * 1024;

export const reclaimableKinds: readonly ReclaimableKind[] = [
  {
    id: 'package-archives',
    one: 'downloaded package',
    many: 'downloaded packages',
    places: [
      { folder: '/var/cache/apt/archives', depth: 1 },
      ...['dnf', 'yum', 'zypp'].map((name) => ({ folder: `/var/cache/${name}`, depth: 6 })),
    ],
    judge: ({ name, folder }) =>
      goesIf(
        folder.startsWith('/var/cache/apt')
          ? /\.deb(?:\.FAILED)?$/.test(name)
          : name.endsWith('.rpm'),
      ),
    whyNeeded: whyArchivesAreNeeded,
    undo: 'They are not kept: they are downloaded again when they are needed.',
  },
  {
    id: 'rotated-logs',
    one: 'rotated log',
    many: 'rotated logs',
    places: [{ folder: '/var/log', depth: 5 }],
    judge: ({ name, folder, bytes }) => {
      if (folder.startsWith('/var/log/journal')) return 'other';
      const stem = ROTATED.exec(name)?.groups?.['stem'];
      const isSaved = SAVED.test(`${folder}/${name}`);
      if (stem === undefined && bytes < LARGE) return 'other';
      if (isSaved) return { stays: 'named as what somebody has saved' };
      if (stem === undefined)
        return { stays: 'still written: only logs that were rotated away go' };
      return LOGS.test(stem) ? 'goes' : { stays: 'by name no log' };
    },
    undo: 'Logs that were rotated away are gone for good; those that are written now stay.',
  },
  {
    id: 'journal',
    one: 'archived file of the journal',
    many: 'archived files of the journal',
    places: [{ folder: '/var/log/journal', depth: 1 }],
    judge: ({ name }) => goesIf(ARCHIVED.test(name)),
    choose: { goes: olderThan, whyOthersStay: 'the newest, as much as keepJournal leaves' },
    undo: 'The oldest entries of the journal are gone for good; the newest stay.',
  },
  {
    id: 'initramfs-leftovers',
    one: 'leftover of an initramfs',
    many: 'leftovers of an initramfs',
    places: [{ folder: '/boot', depth: 0 }],
    // The one that boots is there: what was to replace it is not whole, and a copy is not needed.
    judge: ({ name, bytes }, beside) => {
      const of = LEFTOVER.exec(name)?.groups?.['of'];
      if (of === undefined) return 'other';
      const booted = beside.get(of)?.bytes ?? 0;
      if (booted === 0) return { stays: 'since the one that boots is missing or empty' };
      const isNeeded = name.endsWith('bak') && booted < bytes * WHOLE_SHARE;
      return isNeeded ? { stays: 'since the one that boots may be cut short' } : 'goes';
    },
    undo: 'They are not kept: the initramfs that is in use stays, and can be made anew.',
  },
  {
    id: 'php-sessions',
    extra: 'php-sessions',
    one: 'session of PHP',
    many: 'sessions of PHP',
    places: ['/var/lib/php/sessions', '/var/lib/php/session', '/var/lib/php5/sessions'].map(
      (folder) => ({ folder, depth: 1 }),
    ),
    judge: ({ name }) => goesIf(name.startsWith('sess_')),
    undo: 'Visitors of the web sites are logged out, and what only a session held is lost.',
  },
  {
    id: 'core-dumps',
    extra: 'core-dumps',
    one: 'memory image of a crashed program',
    many: 'memory images of crashed programs',
    places: [
      { folder: '/var/lib/systemd/coredump', depth: 0 },
      { folder: '/var/crash', depth: 1 },
    ],
    judge: ({ name }) => goesIf(/^core\.|\.crash$|^vmcore/.test(name)),
    undo: 'Why these programs crashed can no longer be looked into.',
  },
];

function goesIf(isOne: boolean): Verdict {
  return isOne ? 'goes' : 'other';
}

/** The newest that fit into what is kept stay. */
function olderThan(found: readonly Candidate[], keepBytes: number): Candidate[] {
  let kept = 0;
  const newestFirst = found.toSorted((a, b) =>
    a.changedAt === b.changedAt
      ? a.name.localeCompare(b.name, 'en')
      : Number(b.changedAt - a.changedAt),
  );
  return newestFirst.filter(({ bytes }) => (kept += bytes) > keepBytes);
}
