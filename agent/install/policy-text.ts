import type { ActionClass } from '../../proto/documents/fields.ts';

/** What somebody chose when the server was enrolled. */
export interface PolicyChoice {
  /** Actions or patterns; none means all. */
  allow: readonly string[];
  highestClass: ActionClass;
  /** Also what cannot be taken back. */
  allowNoUndo: boolean;
}

/** Lets orders look at everything and change nothing: what the package ships. */
export const LOOK_ONLY: PolicyChoice = { allow: [], highestClass: 'A', allowNoUndo: false };

/** The content of a `policy.toml`, in the words of install.sh. */
export function formatPolicy({ allow, highestClass, allowNoUndo }: PolicyChoice): string {
  const patterns = allow.length === 0 ? ['*'] : allow;
  return [
    '# What orders may do on this server. Only local root writes this; no entry in it can be',
    '# overruled from outside. Check it with: intervene-agent policy check',
    'version = 1',
    `allow = [${patterns.map((pattern) => JSON.stringify(pattern)).join(', ')}]`,
    `highest-class = ${JSON.stringify(highestClass)}`,
    ...(allowNoUndo ? ['allow-steps-without-undo = true'] : []),
    '',
  ].join('\n');
}
