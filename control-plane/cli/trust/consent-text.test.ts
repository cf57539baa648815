import { expect, it } from 'vitest';
import { actions } from '../../../proto/actions/catalogue.ts';
import { consentText, type GrantTerms } from './consent-text.ts';

function textOf(pattern: string, acceptsStepsWithoutUndo: boolean): string {
  const terms: Partial<GrantTerms> = {
    ...{
      servers: [{ id: '019a0000-0000-7000-8000-000000000001', name: 'web-04' }],
    },
    ...{ ticket: 'T-1', actions: [{ pattern }], highestClass: 'C' },
    ...{ engineers: null, engineersForClassC: 1, credentialRecipient: null },
    ...{ backupExists: 'yes', interruptionAccepted: true, acceptsStepsWithoutUndo },
    expiresAt: 1_800_000_000,
  };
  return consentText(terms as GrantTerms, actions, 'UTC');
}

it('a client reads that what cannot be undone is refused, where that is not accepted', () => {
  const refused = 'Refused: it cannot be undone, which is not accepted below.';
  expect(textOf('filesystem.*', false).split(refused)).toHaveLength(2);
  expect(textOf('filesystem.*', false)).toMatch(/cannot be put\s+back\.\n\s+Refused: /);
  expect(textOf('filesystem.*', true)).not.toContain(refused);
  // On disks its changes are taken back.
  expect(textOf('packages.repair', false)).not.toContain(refused);
});
