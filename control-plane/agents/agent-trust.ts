import type { Logger } from 'pino';
import type { ConnectResponse } from '../../proto/wire.ts';
import { wireLimits } from '../../proto/wire.ts';
import { readUnverified } from '../../proto/documents/document.ts';
import { readDocumentChain } from '../authorizations/document-store.ts';
import { revocationsFor } from '../authorizations/revocation-store.ts';
import { trustPages } from './trust-pages.ts';
import type { Bus } from '../cluster/bus.ts';
import type { Queries } from '../database/database.ts';

const POLL_MS = 5_000;
/** Thousands of agents of an account may connect at once: what was read a moment ago will do. */
const FRESH_MS = 500;
/** Room for what frames the documents in a message. */
const MESSAGE_BYTES = wireLimits.messageBytes - 8 * 1024;
/** For the certifications of those who signed revocations; agents take so many at most. */
const CERTIFICATION_BYTES = 64 * 1024;
const CERTIFICATIONS = 32;

/** What an agent is told of its account: what is revoked, and the newest keys. */
export type TrustMessages = readonly ConnectResponse[];

/** The documents an agent needs to trust these keys of people. */
export type CertificationsOf = (fingerprints: readonly string[]) => Promise<readonly Buffer[]>;

interface Watched {
  listeners: Set<(messages: TrustMessages) => void>;
  unsubscribe: () => void;
  latest: { at: number; messages: Promise<TrustMessages> } | undefined;
}

/** Tells the agents of each account what holds no more, as soon as it is known. */
export class AgentTrust {
  private readonly queries: Queries;
  private readonly certificationsOf: CertificationsOf;
  private readonly bus: Bus;
  private readonly log: Logger;
  private readonly watched = new Map<string, Watched>();
  private poll: NodeJS.Timeout | undefined;
  private mark: string | undefined;

  constructor(options: {
    queries: Queries;
    bus: Bus;
    log: Logger;
    certificationsOf: CertificationsOf;
  }) {
    this.queries = options.queries;
    this.certificationsOf = options.certificationsOf;
    this.bus = options.bus;
    this.log = options.log;
  }

  /** Also looks by itself now and then: a wake-up may be lost. */
  start(): void {
    this.poll ??= setInterval(() => this.run(this.lookForChanges()), POLL_MS);
  }

  stop(): void {
    clearInterval(this.poll);
    this.poll = undefined;
  }

  /** Calls `listener` with what holds now, and again whenever it changed, until the returned function is called. */
  async watch(accountId: string, listener: (messages: TrustMessages) => void): Promise<() => void> {
    const watched = this.watched.get(accountId) ?? this.beginWatch(accountId);
    watched.listeners.add(listener);
    const stop = () => {
      watched.listeners.delete(listener);
      if (watched.listeners.size > 0 || this.watched.get(accountId) !== watched) return;
      watched.unsubscribe();
      this.watched.delete(accountId);
    };
    try {
      const isFresh = watched.latest && performance.now() - watched.latest.at < FRESH_MS;
      listener(await (isFresh ? watched.latest!.messages : this.load(accountId, watched)));
    } catch (error) {
      stop();
      throw error;
    }
    return stop;
  }

  private beginWatch(accountId: string): Watched {
    const watched: Watched = {
      listeners: new Set(),
      unsubscribe: this.bus.subscribe('account', accountId, () =>
        this.run(this.tell(accountId, watched)),
      ),
      latest: undefined,
    };
    this.watched.set(accountId, watched);
    return watched;
  }

  private async tell(accountId: string, watched: Watched): Promise<void> {
    const messages = await this.load(accountId, watched);
    for (const listener of watched.listeners) listener(messages);
  }

  private load(accountId: string, watched: Watched): Promise<TrustMessages> {
    const messages = readTrustMessages(this.queries, accountId, this.certificationsOf);
    watched.latest = { at: performance.now(), messages };
    messages.catch(() => (watched.latest = undefined));
    return messages;
  }

  private async lookForChanges(): Promise<void> {
    const rows = await this.queries.query<{ mark: string }>(
      `select concat_ws(' ', (select count(*) from revocations), (select max(revoked_at) from revocations),
         (select count(*) from revocations where after_step),
         (select count(*) from revocations where envelope is not null),
         (select max(created_at) from documents where kind in ('root', 'account-keys'))) as mark`,
    );
    const mark = rows[0]!.mark;
    const hasChanged = this.mark !== undefined && this.mark !== mark;
    this.mark = mark;
    if (!hasChanged) return;
    await Promise.all(
      [...this.watched].map(([accountId, watched]) => this.tell(accountId, watched)),
    );
  }

  private run(task: Promise<void>): void {
    task.catch((error: unknown) =>
      this.log.warn({ err: error }, 'could not read what agents must be told'),
    );
  }
}

async function readTrustMessages(
  queries: Queries,
  accountId: string,
  certificationsOf: CertificationsOf,
): Promise<TrustMessages> {
  const [revoked, rootChain, accountKeys] = await Promise.all([
    revocationsFor(queries, accountId),
    readDocumentChain(queries, null),
    readDocumentChain(queries, accountId),
  ]);
  const ids = revoked.map((row) => row.subject);
  const signed = distinct(revoked.flatMap((row) => row.envelope ?? []));
  const idBytes = ids.reduce((sum, id) => sum + id.length + 4, 0);
  const documents = newestThatFit(signed, MESSAGE_BYTES - CERTIFICATION_BYTES - idBytes);
  const signers = documents.flatMap((envelope) => readUnverified('revoke', envelope).keyids);
  const certifications = newestThatFit(
    (await certificationsOf([...new Set(signers)])).slice(0, CERTIFICATIONS),
    CERTIFICATION_BYTES,
  );
  return [
    { revocations: { ids, documents, certifications } },
    ...trustPages(
      rootChain.map((row) => row.envelope),
      accountKeys.map((row) => row.envelope),
      MESSAGE_BYTES,
    ).map((trust) => ({ trust })),
  ];
}

/** One document may revoke several things. */
function distinct(envelopes: readonly Buffer[]): Buffer[] {
  return [...new Map(envelopes.map((one) => [one.toString('base64'), one])).values()];
}

/** Ids alone are obeyed too; the documents only prove them. */
function newestThatFit(envelopes: readonly Buffer[], bytes: number): Buffer[] {
  let left = bytes;
  return envelopes.toReversed().filter((envelope) => {
    if (envelope.length + 8 > left) return false;
    left -= envelope.length + 8;
    return true;
  });
}
