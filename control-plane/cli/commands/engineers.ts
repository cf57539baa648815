import { shell } from '../../../proto/documents/command-text.ts';
import { readUnverified, signDocument } from '../../../proto/documents/document.ts';
import { keyFingerprint } from '../../../proto/documents/keys.ts';
import type { Signer } from '../../../proto/documents/keys.ts';
import { CliError, usageError } from '../cli-error.ts';
import type { CommandContext } from '../command-context.ts';
import { exitStatus } from '../exit-status.ts';
import { readNamedText } from '../named-file.ts';
import { suggest } from '../output/suggestion.ts';
import { printTable } from '../output/table.ts';
import { glyph } from '../output/terminal.ts';
import { formatMoment } from '../output/time-text.ts';
import { parsePublicKeyFile } from '../profile/public-key-file.ts';
import { certificationOf, fetchCertifications } from '../trust/certifications.ts';
import type { Certification } from '../trust/certifications.ts';
import { issueEngineer, issueLead, validSecondsOf } from '../trust/issue-certification.ts';
import type { Certified } from '../trust/issue-certification.ts';

export interface CertifyOptions {
  keyFile?: string;
  for?: string;
  lead?: boolean;
}

/** `engineers add NAME --key-file FILE`: a lead certifies the key that an engineer made and handed over. */
export async function addEngineer(
  context: CommandContext,
  [name = '']: string[],
  options: CertifyOptions,
): Promise<void> {
  const path = options.keyFile ?? '-';
  const file = parsePublicKeyFile(readNamedText(path), path);
  if (file.name !== name) {
    throw usageError(
      `The key in ${path} is of ${JSON.stringify(file.name)}, not of ${JSON.stringify(name)}.`,
      [
        {
          label: 'if that is the person you mean',
          command: shell`intervene engineers add ${file.name} --key-file ${path}`,
        },
      ],
    );
  }
  await certify(context, { person: file.person, name: file.name, keys: [file.key] }, options);
}

/** `engineers renew [NAME]`: the same keys, for another while; one's own without a name. */
export async function renewEngineer(
  context: CommandContext,
  [name]: string[],
  options: CertifyOptions,
): Promise<void> {
  const { person } = context.profile.require();
  if (name === undefined || name === person.name) {
    const own = (await context.keys()).publicPart('engineer');
    if (own === null) throw noOwnKey();
    await certify(context, { person: person.id, name: person.name, keys: [own.key] }, options);
    return;
  }
  const certifications = await fetchCertifications(await context.api());
  const latest = certifications.find(({ content }) => content.name === name);
  if (latest === undefined) throw unknownEngineer(name, certifications);
  const { content } = latest;
  await certify(
    context,
    { person: content.person, name: content.name, keys: content.keys },
    options,
  );
}

/** `engineers remove NAME`: takes the keys back, signed by the operator root, or by oneself as a lead. */
export async function removeEngineer(
  context: CommandContext,
  [name = '']: string[],
  options: { reason?: string; stop?: boolean },
): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  const certifications = await fetchCertifications(api);
  const found = certifications.filter(({ content }) => content.name === name);
  if (found.length === 0) throw unknownEngineer(name, certifications);
  const fingerprints = [...new Set(found.flatMap((certification) => certification.fingerprints))];
  const keys = await context.keys();
  const signer = await keys.open(keys.has('root') ? 'root' : 'engineer');
  const envelope = signDocument(
    'revoke',
    {
      grants: [],
      keys: fingerprints,
      issuedAt: context.nowSeconds(),
      reason: options.reason ?? '',
      // What runs goes on under a lead, unless the keys may be in other hands.
      afterStep: options.stop !== true,
    },
    [signer],
  );
  await api.post('/api/v1/revocations', { envelope: Buffer.from(envelope).toString('base64') });
  if (terminal.json) {
    terminal.printJson({ revoked: fingerprints });
    return;
  }
  terminal.say(glyph('ok', '✓'), `${name} can order nothing any more: ${fingerprints.join(', ')}`);
  terminal.say(
    options.stop
      ? 'Orders of theirs that wait are refused by the agents, and what runs is stopped.'
      : 'Orders of theirs that wait are refused by the agents; what runs has a lead as owner.',
  );
  terminal.sayNext('intervene jobs list --state running');
  terminal.say(`      intervene people remove ${JSON.stringify(name)}   (as an administrator)`);
}

export async function listEngineers(context: CommandContext): Promise<void> {
  const { terminal } = context;
  const api = await context.api();
  if (terminal.json) {
    terminal.printJson(await api.get('/api/v1/trust/certifications'));
    return;
  }
  const now = context.nowSeconds();
  printTable(
    terminal,
    [
      { title: 'NAME', cell: ({ content }) => content.name },
      { title: 'KIND', cell: ({ kind }) => kind },
      {
        title: 'VALID',
        cell: ({ content }) =>
          content.expiresAt > now
            ? `until ${formatMoment(content.expiresAt * 1000, context.surroundings.timeZone)}`
            : 'expired',
        plain: ({ content }) => new Date(content.expiresAt * 1000).toISOString(),
      },
      { title: 'KEY', cell: ({ fingerprints }) => fingerprints.join(', '), keep: true },
    ],
    newestPerPerson(await fetchCertifications(api)),
  );
}

async function certify(
  context: CommandContext,
  who: Certified,
  options: CertifyOptions,
): Promise<void> {
  const { terminal } = context;
  const seconds = validSecondsOf(options.for);
  const api = await context.api();
  const now = context.nowSeconds();
  const envelope = options.lead
    ? issueLead(who, await (await context.keys()).open('root'), now)
    : issueEngineer(who, await issuer(context), now, seconds);
  await api.post('/api/v1/trust/certifications', {
    envelope: Buffer.from(envelope).toString('base64'),
  });
  const kind = options.lead ? 'lead' : 'engineer';
  const until = readUnverified(kind, envelope).payload.expiresAt;
  if (terminal.json) {
    terminal.printJson({
      person: who.person,
      kind,
      keys: who.keys.map(keyFingerprint),
      expiresAt: new Date(until * 1000).toISOString(),
    });
    return;
  }
  terminal.say(
    glyph('ok', '✓'),
    `${who.name} is certified as ${kind} until ${formatMoment(until * 1000, context.surroundings.timeZone)}`,
  );
  terminal.sayNext('intervene engineers list');
}

/** The key that may certify engineers: one's own as a lead, else the operator root. */
async function issuer(context: CommandContext): Promise<Signer> {
  const keys = await context.keys();
  const own = keys.publicPart('engineer');
  const certifications = await fetchCertifications(await context.api());
  if (own && certificationOf(certifications, own.key, context.nowSeconds(), ['lead'])) {
    return keys.open('engineer');
  }
  if (keys.has('root')) return keys.open('root');
  throw new CliError({
    code: 'not_a_lead',
    happened: 'Only a lead may certify engineers, and no key of this profile is certified as one.',
    next: [{ label: 'see who is', command: 'intervene engineers list' }],
    exitStatus: exitStatus.refused,
  });
}

function noOwnKey(): CliError {
  return new CliError({
    code: 'no_key',
    happened: 'This profile has no key to certify.',
    next: [{ label: '', command: 'intervene keys create' }],
    exitStatus: exitStatus.usage,
  });
}

function newestPerPerson(certifications: readonly Certification[]): Certification[] {
  const newest = new Map<string, Certification>();
  for (const certification of certifications) {
    const key = `${certification.kind} ${certification.content.person}`;
    if (!newest.has(key)) newest.set(key, certification);
  }
  return [...newest.values()];
}

function unknownEngineer(name: string, certifications: readonly Certification[]): CliError {
  const meant = suggest(name, [...new Set(certifications.map(({ content }) => content.name))]);
  return new CliError({
    code: 'engineer_not_found',
    happened: `Nobody named ${JSON.stringify(name)} is certified now.${meant === null ? '' : ` Did you mean ${meant}?`}`,
    next: [
      {
        label: 'a lead certifies a new key',
        command: 'intervene engineers add NAME --key-file FILE',
      },
    ],
    exitStatus: exitStatus.usage,
  });
}
