import type { EnrollmentBody } from '../api/bodies.ts';
import { commandText } from '../orders/plan-view.ts';

/** Digests a server will be told to trust, and who says so. */
export interface Pins {
  root: string;
  accountKeys: string;
}

/**
 * The line that a person pastes into a root shell: it fetches the installer, compares it with its digest
 * before running it, and carries every digest the agent will ever trust. The token is good once.
 */
export function installLine(enrollment: EnrollmentBody, pins: Pins): string {
  const hash = enrollment.installerDigest.replace(/^sha256:/, '');
  const options = commandText([
    '--server-address',
    enrollment.agentAddress,
    '--ca',
    enrollment.caPin,
    '--root',
    pins.root,
    '--account-keys',
    pins.accountKeys,
    '--mode',
    enrollment.mode,
    '--token',
    enrollment.token,
  ]);
  return [
    `d=$(mktemp -d) && curl -fsSLo "$d/install" ${commandText([enrollment.installerUrl])}`,
    `echo "${hash}  $d/install" | sha256sum -c --quiet`,
    `sh "$d/install" ${options}`,
  ].join(' && ');
}
