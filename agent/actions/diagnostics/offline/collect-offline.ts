import { failingHardware, type Finding } from '../../../../proto/actions/diagnostics.ts';
import { CommandStartError } from '../../../process/command-start-error.ts';
import type { CommandResult } from '../../../process/command.ts';
import { ActionError, type ActionContext } from '../../../runner/action.ts';
import { withDisks, type OpenDisks } from '../../../target/offline/open-disks.ts';
import { openSystem, type Target } from '../../../target/open-target.ts';
import { bootDisks, mayStart, readBootSectors } from '../../bootloader/boot-sectors.ts';
import { inspectDevice } from '../../../target/block-device.ts';
import { foreignBoot } from '../../bootloader/foreign-boot.ts';
import { findDamagedTable, type DamagedTable } from '../../bootloader/partition-table.ts';
import { bootByHand, byHandOnly } from '../boot/by-hand.ts';
import { bounded, commandEvidence, cut, fileEvidence, type NewFinding } from '../finding.ts';
import { judgeDisksOfOrder } from '../hardware/require-sound-disks.ts';
import { ProbeFailure, type LookOptions, type Probe } from '../probe.ts';
import { runProbes, type Collected } from '../run-probes.ts';
import { configurations, judgeConfigurations } from '../services/configurations.ts';
import { BorrowedPrograms, inTarget } from './borrowed-programs.ts';
import { judgeEfiPartitions } from './efi-partitions.ts';
import { judgeInitramfs } from './initramfs.ts';
import { offlineContext } from './offline-context.ts';
import { judgeStorage } from './storage-state.ts';
import { judgeVolume } from './volume-state.ts';

/** A check reads all metadata of a file system; nobody waits for a server that does not run anyway. */
const CHECK_WITHIN_MS = 10 * 60_000;
const PROBES_WITHIN_MS = 120_000;
const PROGRAM_WITHIN_MS = 30_000;
const PATIENCE = 10;

/** The system cannot be chosen or is not there; what the disks themselves show is still told. */
const WITHOUT_SYSTEM = new Set(['no_system', 'not_mounted']);

function isExplained({ reason }: ActionError, { problems }: OpenDisks): boolean {
  return WITHOUT_SYSTEM.has(reason) || problems.some((problem) => problem.reason === reason);
}

type Look = (argv: readonly string[], options?: LookOptions) => Promise<CommandResult>;

/**
 * Looks at the disks of the order's target, and at the system on them where one can be opened. Not a byte
 * of them changes. Throws ActionError as `withTarget` does where the order does not say which system.
 */
export async function collectOffline(
  context: ActionContext,
  probes: readonly Probe[],
  look: Look,
): Promise<Collected> {
  const collected: Collected = { facts: {}, findings: [], reports: [] };
  // First of all: from a disk that fails nothing more may come.
  await judgeHardware(context, collected);
  try {
    await withDisks(context, { write: false }, (open) =>
      judgeDisksAndSystem(context, open, probes, look, collected),
    );
  } catch (error) {
    const isHardware = failingHardware(collected.findings).length > 0;
    if (!(error instanceof ActionError) || !isHardware) throw error;
    collected.findings.push(withoutSystem(error));
  }
  return collected;
}

async function judgeDisksAndSystem(
  context: ActionContext,
  open: OpenDisks,
  probes: readonly Probe[],
  look: Look,
  collected: Collected,
): Promise<void> {
  Object.assign(collected.facts, factsOf(open));
  // Before anything is mounted: a check refuses what is.
  await judgeVolumes(context, open, look, collected);
  collected.findings.push(...judgeStorage(open).map(bounded));
  await judgeTables(context, open, collected);
  const starting = open.disks.filter(({ given }) => mayStart(open, given));
  await judgeBootCode(context, open, starting, collected);
  let target: Target;
  try {
    target = await openSystem(context, open, false);
  } catch (error) {
    if (!(error instanceof ActionError) || !isExplained(error, open)) throw error;
    collected.findings.push(withoutSystem(error));
    return;
  }
  // Of a /boot on RAID or LVM only the system on it says that it is one.
  const others = bootDisks(target.layout!).filter((disk) => !starting.includes(disk));
  await judgeBootCode(context, open, others, collected);
  const foreign = await foreignBoot(target.files);
  const judgeBoot = (what: string, judge: () => Promise<NewFinding[]>) =>
    lookAt(context, collected, boot(what), async () => {
      if (foreign === null) return judge();
      throw new ProbeFailure(`its boot is of a kind that is not known here: ${foreign}`);
    });
  await judgeBoot('efi', () => judgeEfiPartitions(context, target));
  await judgeBoot('initramfs', () => judgeInitramfs(target));
  await judgeSystem(context, target, probes, look, collected);
  const byHand = await bootByHand(target.files);
  if (byHand !== null) {
    collected.findings = collected.findings.map((finding) => byHandOnly(finding, byHand));
  }
  if (!probes.includes(configurations)) return;
  await lookAt(context, collected, configurations, () => judgeConfigurations(context, target));
}

async function judgeHardware(context: ActionContext, collected: Collected): Promise<void> {
  const began = performance.now();
  const { findings, unknown } = await judgeDisksOfOrder(context);
  collected.findings.push(...findings.map((one) => bounded({ ...one, area: 'hardware' })));
  collected.reports.push({
    probe: 'hardware.disks',
    area: 'hardware',
    outcome: unknown.length === 0 ? 'done' : 'probe_failed',
    detail: cut(unknown.join('; '), 300),
    durationMs: Math.round(performance.now() - began),
  });
}

async function judgeVolumes(
  context: ActionContext,
  open: OpenDisks,
  look: Look,
  collected: Collected,
): Promise<void> {
  const { volumes } = open;
  for (const [at, volume] of volumes.entries()) {
    const began = performance.now();
    context.progress('checking', Math.floor((at / volumes.length) * 100), volume.name);
    const report = (outcome: 'done' | 'probe_failed', detail: string) =>
      collected.reports.push({
        probe: cut(`filesystems.check-${at + 1}`, 64),
        area: 'filesystems',
        outcome,
        detail: cut(detail, 300),
        durationMs: Math.round(performance.now() - began),
      });
    try {
      const found = await judgeVolume(open, volume, (argv) =>
        look(argv, { timeoutMs: CHECK_WITHIN_MS }),
      );
      collected.findings.push(...found.map((one) => bounded({ ...one, area: 'filesystems' })));
      report('done', '');
    } catch (error) {
      context.signal.throwIfAborted();
      const why = error instanceof CommandStartError ? 'its check is not installed here' : null;
      report('probe_failed', `${volume.name}: ${why ?? (error as Error).message}`);
    }
  }
}

/** What a BIOS reads first of disks that it boots. */
async function judgeBootCode(
  context: ActionContext,
  open: OpenDisks,
  disks: OpenDisks['disks'],
  collected: Collected,
): Promise<void> {
  for (const disk of disks) {
    const { fault } = await readBootSectors(context, open, disk);
    if (fault === null) continue;
    collected.findings.push(
      bounded({
        rule: fault.rule,
        area: 'boot',
        severity: 'critical',
        subject: disk.given,
        title: `The next boot stops before its first line: ${fault.text}`,
        evidence: [commandEvidence(`head --bytes=512 ${disk.given}`, fault.text)],
        suggestion: { action: 'bootloader.repair', parameters: {} },
        byHand: 'grub-install on that disk, from the system itself.',
      }),
    );
  }
}

/** A table that only its copy still gives: nothing that lies on the partitions is found by a boot. */
async function judgeTables(
  context: ActionContext,
  { disks }: OpenDisks,
  { findings }: Collected,
): Promise<void> {
  for (const { device, loop, given } of disks) {
    const behind = { ...(await inspectDevice(loop)), bytes: device.bytes };
    const damaged = await findDamagedTable(context, behind);
    if (damaged === null) continue;
    findings.push(
      bounded({
        rule: 'disk.gpt_main_bad',
        area: 'boot',
        severity: 'critical',
        subject: given,
        ...judgeCopy(given, damaged),
      }),
    );
  }
}

function judgeCopy(
  given: string,
  { seen, foreign }: DamagedTable,
): Pick<Finding, 'title' | 'evidence' | 'suggestion' | 'byHand'> {
  const title = `The partition table of ${given} is damaged; `;
  const evidence = (more: string[]) => [fileEvidence(given, null, [...seen, ...more].join(' '))];
  if (foreign !== null) {
    return {
      title: `${title}the valid one at the end of the disk belongs to something else`,
      evidence: evidence([`But ${foreign}.`]),
      suggestion: null,
      byHand: 'Look with gdisk or testdisk which of the two tables the partitions are by.',
    };
  }
  return {
    title: `${title}its copy at the end of the disk is valid`,
    evidence: evidence([]),
    suggestion: { action: 'bootloader.repair', parameters: {} },
    byHand: 'gdisk: r (recovery), b (use backup header), w',
  };
}

const boot = (what: string) => ({ id: `boot.${what}`, area: 'boot' }) as const;

/** One look at the system as a whole; another that fails keeps none of the others back. */
async function lookAt(
  context: ActionContext,
  { findings, reports }: Collected,
  { id, area }: Pick<Probe, 'id' | 'area'>,
  judge: () => Promise<NewFinding[]>,
): Promise<void> {
  const began = performance.now();
  let [outcome, detail]: ['done' | 'probe_failed', string] = ['done', ''];
  try {
    findings.push(...(await judge()).map((one) => bounded({ ...one, area })));
  } catch (error) {
    context.signal.throwIfAborted();
    [outcome, detail] = ['probe_failed', cut((error as Error).message, 300)];
  }
  const durationMs = Math.round(performance.now() - began);
  reports.push({ probe: id, area, outcome, detail, durationMs });
}

async function judgeSystem(
  context: ActionContext,
  target: Target,
  probes: readonly Probe[],
  look: Look,
  collected: Collected,
): Promise<void> {
  const patient = (argv: readonly string[], options: LookOptions = {}) =>
    look(argv, { timeoutMs: PROGRAM_WITHIN_MS, ...options });
  const borrowed = await BorrowedPrograms.of(
    context,
    { ...target, layout: target.layout! },
    patient,
  );
  const { facts, findings, reports } = await runProbes(
    probes.filter(({ offline }) => offline),
    offlineContext(target, borrowed, patient),
    PROBES_WITHIN_MS,
    PATIENCE,
  );
  const { system } = target.layout!;
  Object.assign(collected.facts, facts, { os: system.name ?? 'an unknown system' });
  if (system.hostname !== null) collected.facts.hostname = system.hostname;
  // Where it happens to be mounted in this job says nothing to anybody.
  const told = JSON.parse(inTarget(target, JSON.stringify(findings))) as Finding[];
  collected.findings.push(...told);
  collected.reports.push(...reports);
}

function withoutSystem(error: ActionError): Finding {
  return bounded({
    rule: 'disk.no_system',
    area: 'boot',
    severity: 'critical',
    subject: 'disks',
    title: 'No operating system can be opened on these disks',
    evidence: [commandEvidence('mount', error.message)],
    suggestion: null,
    byHand: 'Repair what the other findings name first, then look again.',
  });
}

function factsOf({ disks }: OpenDisks): Collected['facts'] {
  return {
    disks: disks.slice(0, 32).map(({ given, device }) => ({
      name: cut(given, 64),
      bytes: device.bytes,
      model: '',
    })),
  };
}
