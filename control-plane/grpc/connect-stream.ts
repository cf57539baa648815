import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { ageRecipient } from '../../proto/documents/fields.ts';
import type { ConnectRequest__Output, ConnectResponse, Hello__Output } from '../../proto/wire.ts';
import { wireLimits } from '../../proto/wire.ts';
import type { AgentSession, AgentSessions } from '../agents/agent-sessions.ts';
import type { AgentIdentity, HelloRecord } from '../agents/agent-store.ts';
import type { AgentTrust, TrustMessages } from '../agents/agent-trust.ts';
import { cleanList, readActions, readAgentVersion, readFacts } from '../agents/facts.ts';
import { DomainError } from '../domain-error.ts';
import type { AgentJobs, Arrivals, JobSession } from '../jobs/agent-jobs.ts';
import { endCall, expectFirstMessage, failCall, forEachMessage } from './call-end.ts';
import type { Connection } from './peers.ts';

export type ConnectCall = ServerDuplexStream<ConnectRequest__Output, ConnectResponse>;

export interface ConnectStreamOptions {
  sessions: AgentSessions;
  trust: AgentTrust;
  jobs: AgentJobs;
  log: Logger;
}

/** Messages that may wait to be sent; an agent that reads no faster is sent away and comes again. */
const OUTGOING_MAX = 256;

/**
 * One agent's session, from its hello to its end. Everything it is told and everything it says goes through
 * here; what that means is the domains' affair. Resolves when the session is over and its words are stored.
 */
export async function handleConnect(
  call: ConnectCall,
  connection: Connection,
  identity: AgentIdentity,
  options: ConnectStreamOptions,
): Promise<void> {
  const { agentId } = identity;
  const stream = new ConnectStream(call, connection, agentId, options.sessions);
  const disarm = expectFirstMessage(call, wireLimits.firstMessageMs);
  const closing: (() => unknown)[] = [];
  let jobs: JobSession | undefined;
  try {
    await forEachMessage(call, (message) => {
      if (jobs === undefined) return begin(message);
      if (message.body === 'hello') throw unexpected('A second hello came.');
      jobs.hear(message);
      return jobs.isFull ? jobs.whenRoom() : undefined;
    });
    endCall(call);
  } catch (error) {
    failCall(call, error, options.log);
  } finally {
    for (const close of closing.reverse()) await close();
  }

  async function begin(message: ConnectRequest__Output): Promise<void> {
    disarm();
    if (message.body !== 'hello') throw unexpected('The first message must be a hello.');
    const arrivals = options.jobs.expect(agentId);
    closing.push(() => arrivals.stop());
    const session = await options.sessions.open(stream, readHello(message.hello!));
    closing.push(() => session.close());
    jobs = await welcome(message.hello!, arrivals, session.hasOpenJobs);
  }

  async function welcome(
    hello: Hello__Output,
    arrivals: Arrivals,
    hasOpenJobs: boolean,
  ): Promise<JobSession> {
    const begun = await options.jobs.begin({
      session: stream,
      speaker: { agentId, serverId: identity.serverId, key: identity.key },
      known: hello.knownJobs ?? [],
      arrivals,
      hasOpenJobs,
    });
    closing.push(() => begun.close());
    stream.send({
      welcome: {
        agentId,
        serverId: identity.serverId,
        accountId: identity.accountId,
        positions: begun.positions,
      },
    });
    closing.push(
      await options.trust.watch(identity.accountId, (messages) => {
        for (const message of messages) stream.send(message);
        if (isRevoked(messages, identity.keyFingerprint)) stream.end(revoked());
      }),
    );
    await begun.deliver();
    return begun;
  }
}

class ConnectStream implements AgentSession {
  readonly agentId: string;
  readonly connection: Connection;
  private readonly call: ConnectCall;
  private readonly sessions: AgentSessions;

  constructor(call: ConnectCall, connection: Connection, agentId: string, sessions: AgentSessions) {
    this.call = call;
    this.connection = connection;
    this.agentId = agentId;
    this.sessions = sessions;
  }

  get isOver(): boolean {
    return this.call.destroyed || this.call.writableEnded;
  }

  send(message: ConnectResponse): void {
    const { call } = this;
    if (this.isOver) return;
    if (call.writableLength >= OUTGOING_MAX) {
      this.end(new DomainError('too_many', 'session_slow', 'The agent does not read.'));
      this.connection.close();
      return;
    }
    call.write(message);
    this.sessions.noteSent(this.agentId);
  }

  end(error: DomainError): void {
    endCall(this.call, error);
  }
}

function readHello(hello: Hello__Output): HelloRecord {
  const recipient = ageRecipient.safeParse(hello.ageRecipient);
  return {
    version: readAgentVersion(hello.facts),
    facts: readFacts(hello.facts),
    actions: readActions(hello.actions),
    documentTypes: cleanList(hello.documentTypes, 128),
    locked: hello.locked ?? false,
    ageRecipient: recipient.success ? recipient.data : null,
  };
}

/** It was told so as well; whoever holds its key must not be served any more. */
function isRevoked(messages: TrustMessages, fingerprint: string): boolean {
  return messages.some((message) => message.revocations?.ids?.includes(fingerprint));
}

function revoked(): DomainError {
  return new DomainError('forbidden', 'agent_revoked', 'The key of this agent was revoked.');
}

function unexpected(happened: string): DomainError {
  return new DomainError('invalid', 'message_unexpected', happened);
}
