import { lackingLinesOf } from '../../packages/rpm/record-copy.ts';
import {
  findDuplicates,
  splitLacking,
  wantedOf,
  type DuplicateRpm,
} from '../../packages/rpm/rpm-faults.ts';
import { nvra } from '../../packages/rpm/rpm-manager.ts';
import { commandEvidence, type NewFinding } from '../finding.ts';
import { NotApplicable, type Probe } from '../probe.ts';
import { RPM_DATABASES } from './rpm-database.ts';

/** As many as `packages.repair` may be told. */
const NAMED_MAX = 64;
/** What packages need is mostly the name of another one; files and libraries say no name. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9+._-]*$/;

/** Packages that are there twice, as after a change that was cut off, or without what they need. */
export const rpmPackages: Probe = {
  id: 'packages.rpm_state',
  area: 'packages',
  limitMs: 4_000,
  async look(context) {
    const there = await Promise.all(RPM_DATABASES.map((file) => context.files.stat(file)));
    if (there.every((file) => file === null)) {
      throw new NotApplicable('packages are not kept by rpm');
    }
    const [duplicates, lacking] = await Promise.all([
      findDuplicates(context),
      lackingLinesOf(context),
    ]);
    return { findings: [...judgeDuplicates(duplicates), ...judgeLacking(lacking)] };
  },
};

export function judgeDuplicates(duplicates: readonly DuplicateRpm[]): NewFinding[] {
  if (duplicates.length === 0) return [];
  const names = duplicates.map(({ stays }) => stays.name);
  return [
    {
      rule: 'pkg.duplicate',
      severity: 'warning',
      subject: names.slice(0, 8).join(', ').slice(0, 300),
      title:
        names.length === 1
          ? `A change of packages was cut off: ${names[0]} is there in two versions`.slice(0, 300)
          : `A change of packages was cut off: ${names.length} packages are there in two versions`,
      evidence: duplicates
        .slice(0, 4)
        .map(({ stays, goes }) =>
          commandEvidence(
            'rpm --query --all',
            `${nvra(stays)} beside ${goes.map(nvra).join(', ')}`,
          ),
        ),
      suggestion: { action: 'packages.repair', parameters: {} },
      byHand: 'rpm --erase NAME-VERSION of the older ones; then rpm --verify NAME.',
    },
  ];
}

export function judgeLacking(lines: readonly string[]): NewFinding[] {
  const { needs, conflicts } = splitLacking(lines);
  return [...judgeNeeds(needs), ...judgeConflicts(conflicts)];
}

function judgeNeeds(lines: readonly string[]): NewFinding[] {
  if (lines.length === 0) return [];
  const wanted = wantedOf(lines);
  const names = wanted.map((what) => what.split(' ', 1)[0]!).filter((what) => NAME.test(what));
  return [
    {
      rule: 'pkg.broken_dependencies',
      severity: 'warning',
      subject: wanted.slice(0, 8).join(', ').slice(0, 300),
      title:
        wanted.length === 1
          ? `${wanted[0]} is needed by packages, and is not there`.slice(0, 300)
          : `${wanted.length} things that packages need are not there, or in another version`,
      evidence: lines.slice(0, 4).map((line) => commandEvidence('rpm --verify --all', line)),
      suggestion: {
        action: 'packages.repair',
        parameters: names.length === 0 ? {} : { packages: [...new Set(names)].slice(0, NAMED_MAX) },
      },
      byHand: 'Install what is lacking: dnf install WHAT, or zypper install WHAT.',
    },
  ];
}

function judgeConflicts(lines: readonly string[]): NewFinding[] {
  if (lines.length === 0) return [];
  return [
    {
      rule: 'pkg.conflict',
      severity: 'warning',
      subject: lines[0]!.slice(0, 300),
      title:
        lines.length === 1
          ? `Packages are there that rule each other out: ${lines[0]}`.slice(0, 300)
          : `Packages are there that rule each other out, in ${lines.length} ways`,
      evidence: lines.slice(0, 4).map((line) => commandEvidence('rpm --verify --all', line)),
      suggestion: null,
      byHand: 'Decide which of them goes: rpm --erase --test NAME, then rpm --erase NAME.',
    },
  ];
}
