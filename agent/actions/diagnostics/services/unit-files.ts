import type { TargetFiles } from '../../../target/target-files.ts';
import { fileEvidence, type NewFinding } from '../finding.ts';
import type { Probe } from '../probe.ts';

const OWN_UNITS = '/etc/systemd/system';
const VENDOR_UNITS = ['/usr/lib/systemd/system', '/lib/systemd/system'];
const FOLDERS_MAX = 500;

interface Command {
  file: string;
  line: number;
  text: string;
}

/** Services that drop-ins give a second command to start, so that systemd refuses to load them at all. */
export const unitFiles: Probe = {
  id: 'services.unit-files',
  area: 'services',
  limitMs: 2_000,
  offline: true,
  async look({ files }) {
    const findings: NewFinding[] = [];
    const folders = (await files.list(OWN_UNITS)).filter((name) => name.endsWith('.service.d'));
    for (const folder of folders.slice(0, FOLDERS_MAX)) {
      const unit = folder.slice(0, -'.d'.length);
      findings.push(...(await judge(files, unit, `${OWN_UNITS}/${folder}`)));
    }
    return { findings };
  },
};

async function judge(files: TargetFiles, unit: string, folder: string): Promise<NewFinding[]> {
  const main = await mainFile(files, unit);
  if (main === null) return [];
  const names = (await files.list(folder)).filter((name) => name.endsWith('.conf'));
  let type = '';
  let commands: Command[] = [];
  for (const file of [main, ...names.map((name) => `${folder}/${name}`)]) {
    const text = (await files.read(file).catch(() => null)) ?? '';
    for (const [at, line] of text.split('\n').entries()) {
      const [, key, value] =
        /^\s*(Type|ExecStart)\s*=(.*)$/s.exec(line)?.map((part) => part.trim()) ?? [];
      if (key === 'Type') type = value!;
      // An empty value takes back all that came before it (systemd.service(5)).
      else if (key !== undefined && value === '') commands = [];
      else if (key !== undefined) commands.push({ file, line: at + 1, text: line });
    }
  }
  const second = commands.find(({ file }, at) => at > 0 && file !== main);
  if (type === 'oneshot' || second === undefined) return [];
  const name = second.file.split('/').at(-1)!.slice(0, -'.conf'.length);
  return [
    {
      rule: 'svc.bad_unit',
      severity: 'warning',
      subject: unit,
      title: `${unit} does not start: ${second.file} gives it a second command`,
      evidence: [fileEvidence(second.file, second.line, second.text)],
      suggestion: /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(name)
        ? { action: 'service.override', parameters: { unit, removeDropIn: name } }
        : null,
      byHand: `Put ExecStart= alone on a line before it, or remove the file; then: systemctl daemon-reload.`,
    },
  ];
}

async function mainFile(files: TargetFiles, unit: string): Promise<string | null> {
  for (const folder of [OWN_UNITS, ...VENDOR_UNITS]) {
    const path = `${folder}/${unit}`;
    const found = await files.stat(path).catch(() => null);
    if (found?.isFile()) return path;
  }
  return null;
}
