import { z } from '@hono/zod-openapi';
import { jobOutcome } from '../../proto/documents/kinds/receipt.ts';

/**
 * The bodies of the REST interface, as `--json` prints them: camelCase, RFC 3339 times in UTC with
 * milliseconds, sizes in bytes, durations in ms, unknown as null, ids whole.
 */
const time = z.iso.datetime({ precision: 3 });
const nullableTime = time.nullable();
const envelope = z.base64().max(131_072).describe('a DSSE envelope, base64');

export const errorBody = z
  .object({
    error: z.object({
      code: z.string().describe('stable, snake_case'),
      happened: z.string(),
      safe: z.string(),
      next: z.array(z.object({ label: z.string(), command: z.string() })),
    }),
  })
  .openapi('Error');

export const role = z.enum(['client', 'engineer', 'lead', 'auditor', 'admin']);
export type Role = z.output<typeof role>;

export const account = z
  .object({ id: z.uuid(), name: z.string(), createdAt: time })
  .openapi('Account');

export const person = z
  .object({
    id: z.uuid(),
    name: z.string(),
    role,
    accountId: z.uuid().nullable(),
    createdAt: time,
  })
  .openapi('Person');

export const invitation = z
  .object({ person, invitation: z.string(), expiresAt: time })
  .openapi('Invitation');

export const token = z
  .object({ id: z.uuid(), label: z.string(), createdAt: time, expiresAt: nullableTime })
  .openapi('Token');

export const newToken = token.extend({ token: z.string(), person }).openapi('NewToken');

export const agent = z
  .object({
    id: z.uuid(),
    serverId: z.uuid(),
    serverName: z.string(),
    mode: z.enum(['rescue', 'resident']),
    keyFingerprint: z.string(),
    ageRecipient: z.string(),
    version: z.string(),
    state: z.enum(['connected', 'disconnected', 'unreachable', 'quarantined']),
    locked: z.boolean(),
    lastSeenAt: nullableTime,
    facts: z.record(z.string(), z.unknown()),
    actions: z.array(z.object({ id: z.string(), version: z.int() })),
    documentTypes: z.array(z.string()),
  })
  .openapi('Agent');

export const server = z
  .object({
    id: z.uuid(),
    name: z.string(),
    accountId: z.uuid(),
    accountName: z.string(),
    serviceId: z.string().nullable(),
    addresses: z.array(z.string()),
    createdAt: time,
    identity: z
      .object({
        serial: z.string().nullable(),
        macAddresses: z.array(z.string()),
        hostname: z.string(),
        confirmedBy: z.string().nullable(),
        confirmedAt: time,
      })
      .nullable()
      .describe('which machine it is, as an engineer confirmed it in rescue'),
    agent: agent.nullable(),
  })
  .openapi('Server');

export const enrollment = z
  .object({
    id: z.uuid(),
    serverId: z.uuid(),
    mode: z.enum(['rescue', 'resident']),
    token: z.string().describe('one use'),
    expiresAt: time,
    agentAddress: z.string().describe('host:port the agent dials'),
    caPin: z.string().describe('sha256:<hex> of the CA public key (SPKI)'),
    installerUrl: z.string(),
    installerDigest: z.string().describe('sha256:<hex>'),
    rootDigest: z.string().nullable(),
    accountKeysDigest: z.string().nullable(),
  })
  .openapi('Enrollment');

export const document = z
  .object({
    digest: z.string(),
    kind: z.string(),
    version: z.int().nullable(),
    personId: z.string().nullable(),
    expiresAt: nullableTime,
    envelope,
  })
  .openapi('Document');

export const grant = z
  .object({
    id: z.uuid(),
    number: z.int().describe('said as G-<number>'),
    kind: z.enum(['grant', 'attestation']),
    accountId: z.uuid(),
    ticket: z.string(),
    digest: z.string(),
    servers: z.array(z.object({ id: z.uuid(), name: z.string() })),
    actions: z.array(z.string()),
    highestClass: z.enum(['A', 'B', 'C']),
    notBefore: time,
    expiresAt: time,
    state: z.enum(['valid', 'not_yet_valid', 'expired', 'revoked']),
    revokedAt: nullableTime,
    signedBy: z.string(),
    createdAt: time,
    envelope,
  })
  .openapi('Grant');

export const intervention = z
  .object({
    id: z.uuid(),
    number: z.int(),
    accountId: z.uuid(),
    serverId: z.uuid(),
    serverName: z.string(),
    ticket: z.string(),
    description: z.string(),
    openedAt: time,
    closedAt: nullableTime,
    jobs: z.int(),
  })
  .openapi('Intervention');

export const jobState = z.enum([
  'proposed',
  'queued',
  'delivered',
  'running',
  ...jobOutcome.options,
  'refused',
  'expired',
  'abandoned',
]);
export type JobState = z.output<typeof jobState>;

export const job = z
  .object({
    id: z.uuid(),
    name: z.string().describe('<intervention>/<number>, as people say it'),
    interventionId: z.uuid(),
    serverId: z.uuid(),
    serverName: z.string(),
    action: z.string(),
    mode: z.enum(['plan', 'apply', 'undo']),
    class: z.enum(['A', 'B', 'C']),
    parameters: z.record(z.string(), z.unknown()),
    state: jobState,
    reason: z.string().nullable(),
    detail: z.string(),
    orderedBy: z.string().nullable(),
    owner: z.string().nullable().describe('who answers for it: a lead may take it over'),
    signedBy: z.array(z.string()).describe('engineers whose signatures the order has'),
    engineersNeeded: z.int().describe('how many must sign before the agent gets it'),
    createdAt: time,
    startBefore: time,
    deliveredAt: nullableTime,
    startedAt: nullableTime,
    endedAt: nullableTime,
    exitStatus: z.int().nullable(),
    result: z.unknown(),
    planDigest: z.string().nullable(),
    undoesJobId: z.uuid().nullable(),
    undoneByJobId: z.uuid().nullable(),
    progress: z
      .object({ phase: z.string(), percent: z.number().nullable(), text: z.string() })
      .nullable(),
    log: z.object({
      committedBytes: z.int(),
      lines: z.int(),
      /** Known once the job has ended. */
      bytes: z.int().nullable(),
      digest: z.string().nullable(),
      /** Whether the stored bytes have the digest of the agent's receipt; null while unknown. */
      verified: z.boolean().nullable(),
    }),
    grantId: z.uuid().nullable(),
    orderDigest: z.string(),
  })
  .openapi('Job');
export type JobBody = z.output<typeof job>;

export const credential = z
  .object({
    id: z.uuid(),
    number: z.int().describe('said as C-<number>'),
    kind: z.enum(['given', 'made']).describe('by the client to the agent; by a job for the client'),
    accountId: z.uuid(),
    serverId: z.uuid(),
    serverName: z.string(),
    name: z.string().describe("the action's input, or what the job calls it"),
    action: z.string(),
    state: z
      .enum(['usable', 'withdrawn', 'ended', 'unopened', 'opened'])
      .describe('given: usable, withdrawn, or ended with its grant; made: unopened or opened'),
    grantId: z.uuid().nullable(),
    grantNumber: z.int().nullable(),
    jobId: z.uuid().nullable().describe('the job that made it'),
    jobName: z.string().nullable(),
    orders: z.int().describe('given: how many orders name it'),
    digest: z.string().describe('given: of the envelope; made: of what is sealed'),
    envelope: envelope.nullable().describe("given: the client's signature on what it is for"),
    createdBy: z.string().nullable(),
    createdAt: time,
    withdrawnAt: nullableTime,
    openedBy: z.string().nullable(),
    openedAt: nullableTime,
  })
  .openapi('Credential');

export const sealedCredential = z
  .object({ credential, sealed: z.base64().describe('an age file, base64') })
  .openapi('SealedCredential');

export const jobEvent = z
  .object({
    sequence: z.int(),
    at: time,
    actor: z.string(),
    kind: z.enum(['state', 'journal', 'alarm']),
    content: z.record(z.string(), z.unknown()),
  })
  .openapi('JobEvent');

/** What was signed about a job, as a pack holds it. */
export const jobPapers = z
  .object({
    order: envelope,
    plan: envelope.nullable(),
    accepted: envelope.nullable(),
    final: envelope.nullable(),
  })
  .openapi('JobPapers');

export const jobDocuments = jobPapers
  .extend({
    /** Whose receipts these are; that it is the right key, the order says by its fingerprint. */
    agentKey: z.record(z.string(), z.unknown()),
  })
  .openapi('JobDocuments');

/** Everything a client needs to check an intervention offline. */
export const pack = z
  .object({
    version: z.literal(1),
    intervention,
    rootChain: z.array(envelope),
    accountKeys: z.array(envelope),
    certifications: z.array(envelope),
    grants: z.array(envelope),
    revocations: z.array(envelope),
    jobs: z.array(
      z.object({
        id: z.uuid(),
        name: z.string(),
        state: jobState,
        agentKey: z.record(z.string(), z.unknown()),
        documents: jobPapers,
        logDigest: z.string().nullable(),
      }),
    ),
    secrets: z
      .array(
        z.object({
          kind: z.enum(['given', 'made']),
          number: z.int(),
          name: z.string(),
          digest: z.string().describe('given: of the envelope; made: of what is sealed'),
          envelope: envelope.nullable(),
          jobId: z.uuid().nullable(),
          openedAt: nullableTime,
        }),
      )
      .default([])
      .describe('which secrets the jobs used and made, never what they are'),
    chain: z.array(
      z.object({ sequence: z.int(), entry: z.string(), previous: z.string(), hash: z.string() }),
    ),
  })
  .openapi('Pack');

export const auditEntry = z
  .object({
    chain: z.string(),
    sequence: z.int(),
    at: time,
    actor: z.string(),
    kind: z.string(),
    content: z.record(z.string(), z.unknown()),
    hash: z.string(),
    previous: z.string(),
  })
  .openapi('AuditEntry');

export const actionBody = z
  .object({
    id: z.string(),
    version: z.int(),
    title: z.string(),
    sentence: z.string(),
    class: z.enum(['A', 'B', 'C']),
    plans: z.boolean(),
    undo: z.enum(['yes', 'none']),
    usualDuration: z.string(),
    capabilities: z.array(z.string()),
    parameters: z.record(z.string(), z.unknown()).describe('JSON Schema'),
  })
  .openapi('Action');

/** Lists everywhere: items and how to get the next ones. */
export function listOf<T extends z.ZodType>(item: T) {
  return z.object({ items: z.array(item), next: z.string().nullable() });
}
