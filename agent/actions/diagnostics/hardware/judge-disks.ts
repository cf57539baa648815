import { open } from 'node:fs/promises';
import type { BlockDevice } from '../../../target/block-device.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, ProbeFailure, type ProbeContext } from '../probe.ts';
import { ESCALATE, judgeSmart } from './disk-health.ts';
import { judgeKernelLog } from './kernel-log.ts';
import { kernelNames, type KernelNames } from './kernel-names.ts';
import { judgeMemory } from './memory-errors.ts';
import { judgeMdstat, membersOf } from './raid.ts';

const READ_BYTES = 4096;

/** What the machine that looks knows of its hardware. */
export type SeenHardware = Pick<ProbeContext, 'observe' | 'observed' | 'files'>;

export interface JudgedDisks {
  findings: NewFinding[];
  /** Why something could not be looked at, in words. */
  unknown: string[];
}

/**
 * What is known against the hardware of certain disks: what they say of themselves, what the kernel met on
 * them since the boot, arrays that lack a disk, memory that lost data, and whether the disks can be read at
 * both ends. Nothing is written.
 */
export async function judgeDisks(
  disks: readonly BlockDevice[],
  seen: SeenHardware,
): Promise<JudgedDisks> {
  const named = await Promise.all(disks.map(kernelNames));
  const judged = await judgeNamed(
    {
      devices: new Set(named.flatMap(({ devices }) => [...devices])),
      ports: new Set(named.flatMap(({ ports }) => [...ports])),
    },
    seen,
  );
  for (const disk of disks) judged.findings.push(...(await readEnds(disk)));
  return judged;
}

/** What is known of them by the names that the kernel has for them. */
export async function judgeNamed(
  { devices, ports }: KernelNames,
  { observe, observed, files }: SeenHardware,
): Promise<JudgedDisks> {
  const judged: JudgedDisks = { findings: [], unknown: [] };
  const add = async (look: () => Promise<NewFinding[]>) => {
    try {
      judged.findings.push(...(await look()));
    } catch (error) {
      if (error instanceof ProbeFailure) judged.unknown.push(error.message);
      else if (!(error instanceof NotApplicable)) throw error;
    }
  };
  for (const name of await observed('smart-')) {
    const disk = name.slice('smart-'.length);
    if (devices.has(disk)) await add(async () => judgeSmart(disk, await observe(name)));
  }
  await add(async () => {
    const log = await observe('kernel-log');
    return judgeKernelLog(log.out, log.command).filter(
      ({ rule, subject }) =>
        rule === 'hw.io_errors' && (devices.has(subject) || ports.has(subject.replace(/\..*/, ''))),
    );
  });
  await add(() => judgeMemory(files));
  const arrays = (await files.read('/proc/mdstat')) ?? '';
  judged.findings.push(
    ...judgeMdstat(arrays).filter(({ subject }) =>
      [subject, ...membersOf(arrays, subject)].some((name) => devices.has(name)),
    ),
  );
  return judged;
}

/** The first and the last blocks of a disk, where its partition tables lie. */
async function readEnds({ path, realPath, bytes }: BlockDevice): Promise<NewFinding[]> {
  const last = Math.max(0, Math.floor((bytes - 1) / READ_BYTES) * READ_BYTES);
  for (const at of new Set([0, last])) {
    try {
      await using file = await open(realPath);
      await file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, at);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') return [];
      const command = `dd if=${path} bs=${READ_BYTES} skip=${at / READ_BYTES} count=1`;
      return [
        {
          rule: 'hw.io_errors',
          severity: 'critical',
          subject: path,
          title: `The disk ${path} cannot be read at byte ${at}`,
          evidence: [commandEvidence(command, 'Input/output error')],
          suggestion: null,
          byHand: ESCALATE,
        },
      ];
    }
  }
  return [];
}
