import { ticket } from '../../../proto/documents/fields.ts';
import { usageError } from '../cli-error.ts';
import { harmless } from '../../../proto/documents/harmless-text.ts';

/**
 * A ticket as a person gave it. Throws CliError for one that does not stand in one line as it is: what cannot be seen
 * would make the words that are signed say other than they show.
 */
export function requireTicket(given: string): string {
  if (ticket.safeParse(given).success && harmless(given) === given) return given;
  throw usageError(
    `--ticket ${JSON.stringify(given)}: 1 to 100 characters, in one line, all of which can be seen.`,
    [],
    'ticket_invalid',
  );
}
