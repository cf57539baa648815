import { isBoundedSetting, parseUnitSetting } from '../../../proto/actions/unit-settings.ts';
import { ActionError } from '../../runner/action.ts';

const HEAD = '# Written by Intervene for an engineer of your provider.\n';

export function dropInPath(unit: string, name: string): string {
  return `/etc/systemd/system/${unit}.d/${name}.conf`;
}

/** A drop-in with these settings (`Section.Key=value`), in their order. */
export function dropInText(settings: readonly string[]): string {
  let section = '';
  let text = HEAD;
  for (const setting of settings) {
    const parsed = parseUnitSetting(setting);
    if (parsed === undefined) {
      throw new ActionError('parameters_invalid', `${JSON.stringify(setting)} is no setting`);
    }
    if (parsed.section !== section) text += `\n[${parsed.section}]\n`;
    section = parsed.section;
    text += `${parsed.key}=${parsed.value}\n`;
  }
  return text;
}

/**
 * What a drop-in sets that only `service.override` may set or take away: its settings that are not bounded,
 * and lines that are no settings at all.
 */
export function unboundedSettings(text: string): string[] {
  let section = '';
  const found: string[] = [];
  for (const line of settingLines(text)) {
    const [, title] = /^\[(.*)\]$/.exec(line) ?? [];
    const [, key] = /^([^=\s]+)\s*=/.exec(line) ?? [];
    if (title !== undefined) section = title;
    else if (key === undefined) found.push(line.slice(0, 60));
    else if (!isBoundedSetting(`${section}.${key}`)) found.push(`${section}.${key}`);
  }
  return [...new Set(found)];
}

/** As systemd.syntax(7) has it: a backslash at the end takes in the next line, but no comment goes on. */
function settingLines(text: string): string[] {
  const lines: string[] = [];
  let begun = '';
  for (const raw of text.split(/\r\n|\n|\r|\0/)) {
    if (/^\s*[#;]/.test(raw)) continue;
    const goesOn = /(?:^|[^\\])(?:\\\\)*\\$/.test(raw);
    begun += goesOn ? `${raw.slice(0, -1)} ` : raw;
    if (goesOn) continue;
    if (begun.trim() !== '') lines.push(begun.trim());
    begun = '';
  }
  if (begun.trim() !== '') lines.push(begun.trim());
  return lines;
}
