import { commandEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';

const FULL_PERCENT = 98;

/** Held in memory or never written: full means nothing there. */
const IGNORED =
  /^(?:tmpfs|devtmpfs|ramfs|overlay|squashfs|iso9660|udf|efivarfs|fuse\..*|autofs|none)$/;

/** Where there may be something that `filesystem.reclaim` removes. */
const CLEANED = /^\/(?:boot|var(?:\/.*)?)?$/;

export interface Space {
  source: string;
  type: string;
  bytes: number;
  available: number;
  usedPercent: number | null;
  inodes: number;
  inodesUsedPercent: number | null;
  mountPoint: string;
}

export const filesystemSpace: Probe = {
  id: 'filesystems.space',
  area: 'filesystems',
  limitMs: 4_200,
  offline: true,
  async look(context) {
    const seen = await context.observe('space');
    const all = parseSpace(seen.out).filter(isKept);
    return {
      findings: judgeSpace(all, seen.command),
      facts: {
        filesystems: all.slice(0, 32).map(({ mountPoint, type, source, bytes, usedPercent }) => ({
          mountPoint: mountPoint.slice(0, 1000),
          type: type.slice(0, 64),
          source: source.slice(0, 1000),
          bytes,
          usedPercent,
        })),
      },
    };
  },
};

/** A root that lies in memory fills up too, as in a rescue system or a container. */
function isKept({ type, mountPoint, bytes }: Space): boolean {
  return bytes > 0 && (mountPoint === '/' || !IGNORED.test(type));
}

/** Lines of df(1) with the columns that the observation asks for; the mount point comes last. */
export function parseSpace(text: string): Space[] {
  const seen = new Set<string>();
  return text
    .split('\n')
    .slice(1)
    .flatMap((line): Space[] => {
      const match = /^(.+?) +(\S+) +(\d+) +(\d+) +(\S+) +(\d+|-) +(\S+) (\/.*)$/.exec(line);
      if (match === null) return [];
      const [, source, type, bytes, available, used, inodes, inodesUsed, mountPoint] = match;
      // What is mounted at several places is one file system.
      const key = `${source}\0${bytes}\0${inodes}`;
      if (source!.startsWith('/') && seen.has(key)) return [];
      seen.add(key);
      return [
        {
          source: source!,
          type: type!,
          bytes: Number(bytes),
          available: Number(available),
          usedPercent: percent(used!),
          inodes: Number(inodes) || 0,
          inodesUsedPercent: percent(inodesUsed!),
          mountPoint: mountPoint!,
        },
      ];
    });
}

export function judgeSpace(all: readonly Space[], command: string): NewFinding[] {
  return all.flatMap((space) => {
    const { mountPoint, usedPercent, inodesUsedPercent, available, type } = space;
    const suggestion = CLEANED.test(mountPoint)
      ? ({ action: 'filesystem.reclaim', parameters: {} } as const)
      : null;
    const base = { severity: 'critical', subject: mountPoint, suggestion } as const;
    const findings: NewFinding[] = [];
    if (usedPercent !== null && usedPercent >= FULL_PERCENT) {
      findings.push({
        ...base,
        rule: 'fs.full',
        title: `The file system at ${mountPoint} is full (${usedPercent} %)`,
        evidence: [
          commandEvidence(command, `${mountPoint}: ${usedPercent} % used, ${available} bytes left`),
        ],
        byHand: `See what takes the space: du -xh --max-depth=2 ${mountPoint} | sort -h. Rotated logs, the journal and package caches can go.`,
      });
    }
    // Btrfs and FAT make inodes as they are needed, and count none.
    if (inodesUsedPercent !== null && space.inodes > 0 && inodesUsedPercent >= FULL_PERCENT) {
      findings.push({
        ...base,
        rule: 'fs.inodes',
        title: `The file system at ${mountPoint} can take no more files (${inodesUsedPercent} % of its inodes)`,
        evidence: [
          commandEvidence(
            command,
            `${mountPoint} (${type}): ${inodesUsedPercent} % of inodes used`,
          ),
        ],
        byHand: `Find the folder with the most files: du -x --inodes --max-depth=3 ${mountPoint} | sort -n. Sessions and mail queues grow so.`,
      });
    }
    return findings;
  });
}

function percent(text: string): number | null {
  const [, number] = /^(\d+)%$/.exec(text) ?? [];
  return number === undefined ? null : Math.min(100, Number(number));
}
