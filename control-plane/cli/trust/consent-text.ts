import type { ActionDeclaration } from '../../../proto/actions/declaration.ts';
import { isClassWithin, matchesAction } from '../../../proto/documents/fields.ts';
import type { ActionClass, JsonValue } from '../../../proto/documents/fields.ts';
import type { Grant } from '../../../proto/documents/kinds/grant.ts';
import { wrapText } from '../output/display-width.ts';
import { harmless } from '../../../proto/documents/harmless-text.ts';
import { formatMoment } from '../output/time-text.ts';

const COLUMNS = 76;
const LABEL = 14;

/** What a grant is going to allow, all but the words that tell of it. */
export type GrantTerms = Omit<Grant, 'shownText'>;

const classMeanings: Record<ActionClass, string> = {
  A: 'reads only',
  B: 'changes that can be taken back',
  C: 'also what is destructive, hard to undo, or as good as root',
};

/**
 * The words a client reads before signing. Exactly this text stands in the signed grant, so it says all
 * that the grant allows, in plain words, and holds nothing that could show otherwise than it is.
 */
export function consentText(
  terms: GrantTerms,
  catalogue: readonly ActionDeclaration[],
  timeZone: string | undefined,
): string {
  const servers = terms.servers.map((server) => harmless(server.name)).join(', ');
  const lines = [
    ...paragraph(
      `You allow ${whoMay(terms)} on ${servers} until ${formatMoment(terms.expiresAt * 1000, timeZone)}, for ticket ${harmless(terms.ticket)}:`,
    ),
    '',
    ...terms.actions.flatMap((entry) => entryLines(entry, terms, catalogue)),
    '',
    ...labelled('Class', `${terms.highestClass} at most: ${classMeanings[terms.highestClass]}`),
    ...(terms.highestClass === 'C'
      ? labelled('Engineers', `${terms.engineersForClassC} must sign what is of class C`)
      : []),
    ...labelled(
      'No undo',
      terms.acceptsStepsWithoutUndo
        ? 'steps that cannot be undone are accepted'
        : 'steps that cannot be undone are not accepted',
    ),
    ...labelled('Credentials', recipientText(terms)),
    ...labelled('Backup', backupTexts[terms.backupExists]),
    ...labelled(
      'Interruption',
      terms.interruptionAccepted
        ? 'the server may be offline meanwhile'
        : 'the server should stay online',
    ),
    ...labelled(
      'At the end',
      'Nothing new starts; what runs at that time goes on to its own end. Taking the permission back stops it.',
    ),
    ...labelled(
      'Undo',
      'Engineers may take back what was changed under this permission, also after its end.',
    ),
    '',
    ...paragraph('Nothing else is allowed: the agent on the server refuses it.'),
  ];
  return `${lines.join('\n')}\n`;
}

const backupTexts: Record<Grant['backupExists'], string> = {
  yes: 'there is one',
  no: 'there is none; go on',
  unsure: 'not sure whether there is one',
};

function whoMay(terms: GrantTerms): string {
  if (terms.engineers === null) return 'engineers of your provider';
  return `only the engineers with the keys ${terms.engineers.join(', ')}`;
}

function entryLines(
  entry: Grant['actions'][number],
  { highestClass: highest, acceptsStepsWithoutUndo }: GrantTerms,
  catalogue: readonly ActionDeclaration[],
): string[] {
  const matched = catalogue.filter((action) => matchesAction(entry.pattern, action.id));
  const lines = [`  ${entry.pattern}`];
  for (const action of matched) {
    if (isClassWithin(action.class, highest)) {
      lines.push(...labelled(`    ${verbOf(action)}`, action.sentence));
      if (!acceptsStepsWithoutUndo && isWithoutUndo(action)) {
        lines.push(...labelled('', 'Refused: it cannot be undone, which is not accepted below.'));
      }
    } else if (action.plans && isClassWithin(action.planClass, highest)) {
      lines.push(
        ...labelled('    plan', `Only say what it would do: ${lowerFirst(action.sentence)}`),
      );
    }
  }
  if (entry.pattern.endsWith('*')) {
    lines.push(
      ...labelled('    later', 'And what later versions add under this name, up to the class.'),
    );
  }
  for (const [name, values] of Object.entries(entry.parameters ?? {})) {
    lines.push(...labelled('    only', `with ${name} = ${values.map(valueText).join(' or ')}`));
  }
  return lines;
}

/** Wherever it works: what it changes stays. */
function isWithoutUndo({ changes, undo, offline }: ActionDeclaration): boolean {
  return changes && undo === 'none' && offline?.undo !== 'yes';
}

function verbOf(action: ActionDeclaration): string {
  if (action.class === 'A') return 'look';
  return action.capabilities.includes('runs-target-programs') ? 'run' : 'repair';
}

function recipientText(terms: GrantTerms): string {
  const recipient = terms.credentialRecipient;
  if (recipient === null) return 'no new password or key is handed out';
  return recipient.type === 'ssh'
    ? `your SSH key ${harmless(recipient.publicKey)}`
    : `sealed to ${recipient.recipient}`;
}

function valueText(value: JsonValue): string {
  return harmless(JSON.stringify(value));
}

function lowerFirst(text: string): string {
  return text.slice(0, 1).toLowerCase() + text.slice(1);
}

function labelled(label: string, text: string): string[] {
  return wrapText(text, COLUMNS - LABEL).map((line, at) =>
    at === 0 ? `${label.padEnd(LABEL)}${line}` : `${' '.repeat(LABEL)}${line}`,
  );
}

function paragraph(text: string): string[] {
  return wrapText(text, COLUMNS);
}
