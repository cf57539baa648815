import { z } from 'zod';

const SECTIONS = ['Unit', 'Service', 'Socket', 'Timer', 'Path'] as const;

/**
 * Settings that bound or delay a service and nothing else: with none of them can it run another program, as
 * another user, with other rights, or act on other units. Whatever is not listed is as good as root until
 * somebody has thought about it.
 */
const BOUNDED = new Set(
  ['Unit.Description', 'Unit.Documentation', 'Unit.After', 'Unit.Before']
    .concat(['Unit.StartLimitIntervalSec', 'Unit.StartLimitBurst', 'Unit.JobTimeoutSec'])
    .concat(['Restart', 'RestartSec', 'TimeoutSec', 'TimeoutStartSec'].map(ofService))
    .concat(['TimeoutStopSec', 'TimeoutAbortSec', 'RuntimeMaxSec', 'WatchdogSec'].map(ofService))
    .concat(['SuccessExitStatus', 'RestartPreventExitStatus'].map(ofService))
    .concat(['LimitNOFILE', 'LimitNPROC', 'LimitCORE', 'LimitSTACK', 'LimitFSIZE'].map(ofService))
    .concat(['LimitAS', 'LimitDATA', 'LimitMEMLOCK', 'LimitCPU'].map(ofService))
    .concat(['MemoryHigh', 'MemoryMax', 'MemorySwapMax', 'MemoryLow', 'TasksMax'].map(ofService))
    .concat(['CPUQuota', 'CPUWeight', 'IOWeight', 'Nice', 'OOMScoreAdjust'].map(ofService))
    .concat(['LogRateLimitIntervalSec', 'LogRateLimitBurst'].map(ofService)),
);

function ofService(key: string): string {
  return `Service.${key}`;
}

/** Whether a setting (`Section.Key`) may be changed with class B. */
export function isBoundedSetting(name: string): boolean {
  return BOUNDED.has(name);
}

export interface UnitSetting {
  section: string;
  key: string;
  value: string;
}

const PATTERN = new RegExp(`^(${SECTIONS.join('|')})\\.([A-Za-z][A-Za-z0-9-]{0,63})=(.*)$`, 'su');

/** Undefined for what is no setting of one line. */
export function parseUnitSetting(text: string): UnitSetting | undefined {
  const [, section, key, value] = PATTERN.exec(text) ?? [];
  if (section === undefined || key === undefined || value === undefined) return undefined;
  // A backslash at the end would take in the next line, and blanks around a value are not kept.
  if (/\p{Cc}|\p{Zl}|\p{Zp}/u.test(value) || value.endsWith('\\') || value !== value.trim()) {
    return undefined;
  }
  return { section, key, value };
}

/** `Section.Key=value`, as a parameter. */
export const unitSetting = z
  .string()
  .max(1024)
  .refine(
    (text) => parseUnitSetting(text) !== undefined,
    `is no setting of the form Section.Key=value, such as Service.LimitNOFILE=65536`,
  );

export const boundedUnitSetting = unitSetting.refine(
  (text) => isBoundedSetting(text.slice(0, text.indexOf('='))),
  'decides what the service runs or may do: order service.override, which is of class C',
);
