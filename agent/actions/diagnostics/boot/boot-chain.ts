import type { Stats } from 'node:fs';
import { readBlockDevices } from '../filesystems/block-devices.ts';
import { GRUBENV, savedChoiceFault } from '../../bootloader/boot-choice.ts';
import { foreignBoot } from '../../bootloader/foreign-boot.ts';
import { fileEvidence, type NewFinding } from '../finding.ts';
import { bootByHand, byHandOnly, KERNEL_FIRST } from './by-hand.ts';
import { NotApplicable, type Probe, type ProbeContext } from '../probe.ts';

const CONFIGS = ['/boot/grub/grub.cfg', '/boot/grub2/grub.cfg'];
const SUGGESTION = { action: 'bootloader.repair', parameters: {} } as const;
/** Shorter than any that finds a root file system. */
const INITRD_MIN_BYTES = 1024 * 1024;
const OTHER_KERNELS = [
  '/boot/loader/entries',
  ...['/boot/EFI/Linux', '/boot/efi/EFI/Linux', '/efi/EFI/Linux'],
];
const CONFIG_MAX_BYTES = 512 * 1024;

interface Entry {
  line: number;
  text: string;
  path: string;
}

/** Whether what the next boot needs is there: configuration, kernel, initial file system, root. */
export const bootChain: Probe = {
  id: 'boot.chain',
  area: 'boot',
  offline: true,
  limitMs: 4_200,
  async look(context) {
    const { files } = context;
    const foreign = await foreignBoot(files);
    const bootMode = (await files.stat('/sys/firmware/efi')) === null ? 'bios' : 'uefi';
    const facts = { bootMode } as const;
    const folders = await Promise.all(
      ['/boot/grub', '/boot/grub2'].map((path) => files.stat(path)),
    );
    const kernels = (await files.list('/boot')).filter((name) => name.startsWith('vmlinu'));
    const isRunning = context.volumes === undefined;
    if (isRunning && folders.every((folder) => folder === null) && kernels.length === 0) {
      throw new NotApplicable('it has no boot loader and no kernel of its own');
    }
    const config = await findConfig(context);
    const byHand = await bootByHand(files);
    const judged = (findings: NewFinding[]) =>
      byHand === null
        ? { findings, facts }
        : { findings: findings.map((finding) => byHandOnly(finding, byHand)), facts };
    if (kernels.length === 0 && (await isWithoutKernel(files, config))) {
      return judged([noKernel(config)]);
    }
    if (config === null) return judged([missingConfig(kernels, CONFIGS[foreign === null ? 0 : 1])]);
    const { file, text } = config;
    const linux = linuxEntries(text);
    const initrds = entries(text, /^\s*initrd(?:16|efi)?\s+(\S+)/);
    const usesBls = /^[ \t]*blscfg\b/m.test(text);
    if (linux.length === 0 && !usesBls) return judged([missingConfig(kernels, file)]);
    const result = judged([
      ...(await missingKernels(files, file, linux)),
      ...(await badInitrds(files, file, initrds)),
      ...(await staleRoots(context, file, linux)),
      ...(await savedEntry(files)),
      ...(bootMode === 'uefi' ? await missingLoader(files) : []),
    ]);
    if (!usesBls) return result;
    const notLookedAt = `${file} takes its entries from /boot/loader/entries, which are not looked at`;
    return { ...result, notLookedAt };
  },
};

async function findConfig({ files }: ProbeContext): Promise<{ file: string; text: string } | null> {
  for (const file of CONFIGS) {
    const text = await files.read(file, CONFIG_MAX_BYTES);
    if (text !== null && text.trim() !== '') return { file, text };
  }
  return null;
}

/** Neither where GRUB looks for one, nor where other loaders do (systemd-boot(7)). */
async function isWithoutKernel(
  files: ProbeContext['files'],
  config: { text: string } | null,
): Promise<boolean> {
  for (const folder of OTHER_KERNELS) {
    if ((await files.list(folder).catch(() => [])).length > 0) return false;
  }
  for (const { path } of linuxEntries(config?.text ?? '')) {
    if ((await bootFile(files, path)) !== null) return false;
  }
  return true;
}

function noKernel(config: { file: string; text: string } | null): NewFinding {
  const [first] = linuxEntries(config?.text ?? '');
  return {
    rule: 'boot.no_kernel',
    severity: 'critical',
    subject: '/boot',
    title: 'The next boot has nothing to start: there is no kernel in /boot',
    evidence: [
      first === undefined
        ? fileEvidence('/boot', null, 'kernels: none')
        : fileEvidence(config!.file, first.line, first.text),
    ],
    suggestion: null,
    byHand: KERNEL_FIRST,
  };
}

function missingConfig(kernels: readonly string[], file = CONFIGS[0]!): NewFinding {
  return {
    rule: 'boot.cfg_missing',
    severity: 'critical',
    subject: file,
    title: 'The next boot stops in the boot loader: it has no configuration with a kernel',
    evidence: [fileEvidence(file, null, `kernels in /boot: ${kernels.join(', ') || 'none'}`)],
    suggestion: SUGGESTION,
    byHand: 'update-grub, or grub2-mkconfig -o /boot/grub2/grub.cfg',
  };
}

const linuxEntries = (text: string) => entries(text, /^\s*linux(?:16|efi)?\s+(\S+)/);

function entries(text: string, pattern: RegExp): Entry[] {
  return text.split('\n').flatMap((line, at) => {
    const [, path] = pattern.exec(line) ?? [];
    // Variables are filled in by GRUB.
    if (path === undefined || path.includes('$')) return [];
    return [{ line: at + 1, text: line, path: path.replace(/^\([^)]*\)/, '') }];
  });
}

/** GRUB names files from the root of the file system that holds /boot, which may be /boot itself. */
async function bootFile(files: ProbeContext['files'], path: string): Promise<Stats | null> {
  const places = [`/boot${path}`, path, path.replace(/^\/@[^/]*/, '')];
  for (const place of places) {
    const found = await files.stat(place);
    if (found !== null) return found;
  }
  return null;
}

async function missingKernels(
  files: ProbeContext['files'],
  file: string,
  linux: readonly Entry[],
): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const [at, entry] of unique(linux).entries()) {
    if ((await bootFile(files, entry.path)) !== null) continue;
    findings.push({
      rule: 'boot.kernel_missing',
      severity: at === 0 ? 'critical' : 'warning',
      subject: entry.path,
      title: `The kernel ${entry.path} is not there, but ${at === 0 ? 'the next boot' : 'an entry of the boot menu'} needs it`,
      evidence: [fileEvidence(file, entry.line, entry.text)],
      suggestion: SUGGESTION,
      byHand: 'Install the kernel package again, or update-grub to drop the entry.',
    });
  }
  return findings;
}

async function badInitrds(
  files: ProbeContext['files'],
  file: string,
  initrds: readonly Entry[],
): Promise<NewFinding[]> {
  const findings: NewFinding[] = [];
  for (const [at, entry] of unique(initrds).entries()) {
    const found = await bootFile(files, entry.path);
    if (found !== null && found.size >= INITRD_MIN_BYTES) continue;
    findings.push({
      rule: 'boot.initrd_bad',
      severity: at === 0 ? 'critical' : 'warning',
      subject: entry.path,
      title:
        found === null
          ? `The initial file system ${entry.path} is not there`
          : `The initial file system ${entry.path} is broken: it is ${found.size} bytes long`,
      evidence: [fileEvidence(file, entry.line, entry.text)],
      suggestion: SUGGESTION,
      byHand: 'update-initramfs -u -k all, or dracut --regenerate-all --force',
    });
  }
  return findings;
}

async function staleRoots(
  context: ProbeContext,
  file: string,
  linux: readonly Entry[],
): Promise<NewFinding[]> {
  const named = linux.flatMap((entry) => {
    const [, key, id] = /\sroot=(UUID|PARTUUID)=([\w-]+)/.exec(entry.text) ?? [];
    return key === undefined ? [] : [{ ...entry, key, id: id! }];
  });
  if (named.length === 0) return [];
  const { devices, isComplete } = await readBlockDevices(context);
  if (!isComplete) return [];
  const known = new Set(
    devices.flatMap(({ uuid, partuuid }) => [uuid, partuuid]).map((id) => id?.toLowerCase()),
  );
  const [stale] = named.filter(({ id }) => !known.has(id.toLowerCase()));
  if (stale === undefined) return [];
  return [
    {
      rule: 'boot.cfg_stale_uuid',
      severity: 'critical',
      subject: stale.id,
      title: `The next boot does not find its root: no device has ${stale.key} ${stale.id}`,
      evidence: [fileEvidence(file, stale.line, stale.text)],
      suggestion: SUGGESTION,
      byHand: 'update-grub; compare with blkid.',
    },
  ];
}

async function savedEntry(files: ProbeContext['files']): Promise<NewFinding[]> {
  const fault = await savedChoiceFault(files);
  if (fault === null) return [];
  return [
    {
      rule: 'boot.saved_entry',
      severity: 'warning',
      subject: GRUBENV,
      title: 'The entry that GRUB keeps as the one to start is none of its menu',
      evidence: [fileEvidence(GRUBENV, null, fault.text)],
      suggestion: SUGGESTION,
      byHand: 'grub-editenv /boot/grub/grubenv unset saved_entry; compare with grub.cfg.',
    },
  ];
}

async function missingLoader(files: ProbeContext['files']): Promise<NewFinding[]> {
  const folders = ['/boot/efi/EFI', '/efi/EFI', '/boot/EFI'];
  for (const folder of folders) {
    const systems = await files.list(folder);
    if (systems.length === 0) continue;
    for (const system of systems) {
      const names = await files.list(`${folder}/${system}`);
      if (names.some((name) => /\.efi$/i.test(name))) return [];
    }
    return [
      {
        rule: 'boot.esp_loader_missing',
        severity: 'critical',
        subject: folder,
        title: 'The firmware finds no boot loader: there is no .efi program on the EFI partition',
        evidence: [fileEvidence(folder, null, systems.join(' '))],
        suggestion: SUGGESTION,
        byHand: 'grub-install --target=x86_64-efi --efi-directory=/boot/efi',
      },
    ];
  }
  return [];
}

function unique(all: readonly Entry[]): Entry[] {
  return [...new Map(all.map((entry) => [entry.path, entry])).values()];
}
