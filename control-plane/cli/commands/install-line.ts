import { commandText } from '../../../proto/documents/command-text.ts';
import type { ActionClass } from '../../../proto/documents/fields.ts';
import type { EnrollmentBody } from '../api/bodies.ts';

/** Digests a server will be told to trust. */
export interface Pins {
  root: string;
  accountKeys: string;
}

/** What the local policy will let orders do; the installer's own default only lets them look. */
export interface PolicyChoice {
  allow?: string[];
  highestClass?: ActionClass;
  allowNoUndo?: boolean;
}

const INSTALLER_PATH = '/install/install.sh';

/**
 * The line that a person pastes into a root shell: it fetches the installer, compares it with its digest
 * before running it, and carries every digest the agent will ever trust. The token is good once.
 */
export function installLine(enrollment: EnrollmentBody, pins: Pins, policy: PolicyChoice): string {
  const hash = enrollment.installerDigest.replace(/^sha256:/, '');
  const url = enrollment.installerUrl.endsWith(INSTALLER_PATH)
    ? enrollment.installerUrl.slice(0, -INSTALLER_PATH.length)
    : new URL(enrollment.installerUrl).origin;
  const options = Object.entries({
    '--control-plane': [enrollment.agentAddress],
    '--url': [url],
    '--ca': [enrollment.caPin],
    '--root': [pins.root],
    '--account-keys': [pins.accountKeys],
    '--mode': [enrollment.mode],
    '--allow': policy.allow ?? [],
    '--highest-class': policy.highestClass === undefined ? [] : [policy.highestClass],
    '--token': [enrollment.token],
  }).flatMap(([flag, values]) => values.flatMap((value) => [flag, value]));
  if (policy.allowNoUndo === true) options.push('--allow-no-undo');
  const steps = [
    `d=$(mktemp -d) && trap 'rm -rf "$d"' EXIT`,
    `curl -fsSLo "$d/install.sh" ${commandText([enrollment.installerUrl])}`,
    `echo ${commandText([hash])}"  $d/install.sh" | sha256sum -c --quiet`,
    `sh "$d/install.sh" ${commandText(options)}`,
  ];
  // A shell of its own, so that its end takes the folder away, however it ends.
  return `( ${steps.join(' && ')} )`;
}
