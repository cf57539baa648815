import { z } from 'zod';
import { json } from '../documents/fields.ts';
import type { ActionDeclaration } from './declaration.ts';

/** What is looked at; each has probes of its own, which fail alone. */
export const diagnosticAreas = [
  'hardware',
  'filesystems',
  'boot',
  'services',
  'ssh',
  'firewall',
  'network',
  'accounts',
  'packages',
  'time',
  'log',
] as const;
export type DiagnosticArea = (typeof diagnosticAreas)[number];
const area = z.enum(diagnosticAreas);

/** Worst first. */
export const severities = ['critical', 'warning', 'notice'] as const;
export type Severity = (typeof severities)[number];

export const EVIDENCE_MAX_CHARACTERS = 400;

const excerpt = z.string().max(EVIDENCE_MAX_CHARACTERS);

/** What a finding rests on, so that a person can look at it too. */
export const evidence = z.union([
  z.strictObject({ file: z.string().max(4096), line: z.int().min(1).nullable(), text: excerpt }),
  z.strictObject({ command: z.string().max(1000), text: excerpt }),
]);
export type Evidence = z.output<typeof evidence>;

/** What a finding may suggest. The server says it, so it is never an action that takes any command. */
export const suggestableActions = [
  'access.repair-accounts',
  'access.reset-password',
  'access.restore-ssh',
  'boot.repair-fstab',
  'bootloader.repair',
  'filesystem.check',
  'filesystem.reclaim',
  'filesystem.repair',
  'firewall.recover',
  'network.recover',
  'packages.repair',
  'service.configure',
  'service.override',
  'service.restart',
  'service.restore-configuration',
  'system.reboot',
] as const;

export const finding = z.strictObject({
  /** Names the rule for ever, as `fs.full`; texts may change. */
  rule: z.string().regex(/^[a-z]+\.[a-z0-9_]+$/),
  area,
  severity: z.enum(severities),
  /** What the rule found it in: a unit, a mount point, an account. With the rule it tells findings apart. */
  subject: z.string().max(300),
  title: z.string().max(300),
  evidence: z.array(evidence).max(4),
  /** The action that mends it, where there is one. */
  suggestion: z
    .strictObject({ action: z.enum(suggestableActions), parameters: z.record(z.string(), json) })
    // A drop-in may be suggested to go, never to come: its settings could be any command.
    .refine(({ parameters }) => !Object.hasOwn(parameters, 'settings'), 'brings in settings')
    .nullable(),
  /** What to do where no action does it. */
  byHand: z.string().max(500),
});
export type Finding = z.output<typeof finding>;

/** Rules that, where they are critical, say that hardware fails: every write may be the one that costs the data. */
const HARDWARE_RULES = new Set([
  'hw.smart_failing',
  'hw.sector_trouble',
  'hw.io_errors',
  'hw.mce_edac',
  'raid.degraded',
  'lvm.partial',
]);

/** Those of a diagnosis that stop every repair and go to the data centre. */
export function failingHardware<T extends Pick<Finding, 'rule' | 'severity'>>(
  findings: readonly T[],
): T[] {
  return findings.filter(
    ({ rule, severity }) => severity === 'critical' && HARDWARE_RULES.has(rule),
  );
}

const bytes = z.int().min(0);

/** Missing: not known. */
export const diagnosticFacts = z.strictObject({
  os: z.string().max(200).optional(),
  kernel: z.string().max(200).optional(),
  architecture: z.string().max(50).optional(),
  hostname: z.string().max(255).optional(),
  uptimeSeconds: z.int().min(0).optional(),
  cpus: z.int().min(0).optional(),
  cpuModel: z.string().max(200).optional(),
  load: z.array(z.number()).max(3).optional(),
  memoryBytes: bytes.optional(),
  memoryAvailableBytes: bytes.optional(),
  swapBytes: bytes.optional(),
  machine: z.string().max(200).optional(),
  bootMode: z.enum(['bios', 'uefi']).optional(),
  disks: z
    .array(z.strictObject({ name: z.string().max(64), bytes, model: z.string().max(200) }))
    .max(32)
    .optional(),
  filesystems: z
    .array(
      z.strictObject({
        mountPoint: z.string().max(1000),
        type: z.string().max(64),
        source: z.string().max(1000),
        bytes,
        usedPercent: z.int().min(0).max(100).nullable(),
      }),
    )
    .max(32)
    .optional(),
  addresses: z.array(z.string().max(100)).max(64).optional(),
  gateways: z.array(z.string().max(100)).max(16).optional(),
  nameServers: z.array(z.string().max(100)).max(16).optional(),
  sshPorts: z.array(z.int().min(1).max(65_535)).max(16).optional(),
  units: z.strictObject({ failed: z.int().min(0), masked: z.int().min(0) }).optional(),
});
export type DiagnosticFacts = z.output<typeof diagnosticFacts>;

/** How one probe went. `probe_failed` hides nothing of the others; `not_applicable` has nothing to look at. */
export const probeReport = z.strictObject({
  probe: z.string().max(64),
  area,
  outcome: z.enum(['done', 'probe_failed', 'not_applicable']),
  detail: z.string().max(300),
  durationMs: z.int().min(0),
});
export type ProbeReport = z.output<typeof probeReport>;

export const diagnosticsResult = z.strictObject({
  /** Of a system on disks: which; missing for the running one. */
  target: z
    .strictObject({ disk: z.string().max(255), filesystem: z.string().max(255).optional() })
    .optional(),
  facts: diagnosticFacts,
  /** The worst first. */
  findings: z.array(finding).max(200),
  /** Findings left out because the result would have been too long; the least severe ones. */
  omittedFindings: z.int().min(0),
  probes: z.array(probeReport).max(100),
  durationMs: z.int().min(0),
});
export type DiagnosticsResult = z.output<typeof diagnosticsResult>;

export const diagnosticsCollectParameters = z.strictObject({
  areas: z
    .array(area)
    .min(1)
    .optional()
    .describe(`what to look at: ${diagnosticAreas.join(', ')}; everything when left out`),
});

export const diagnosticsCollect: ActionDeclaration = {
  id: 'diagnostics.collect',
  version: 1,
  title: 'Diagnose the server',
  sentence: 'Look over your server for known faults. Nothing is changed.',
  class: 'A',
  planClass: 'A',
  plans: false,
  changes: false,
  undo: 'none',
  parameters: diagnosticsCollectParameters,
  result: diagnosticsResult,
  bringsIn: [],
  sealedInputs: [],
  interrupt: 'now',
  usualDuration: 'under 5 seconds',
  capabilities: ['observe'],
  /** Of the system's own programs only those that check a service's configuration. */
  offline: { capabilities: ['disks', 'runs-target-programs'] },
};
