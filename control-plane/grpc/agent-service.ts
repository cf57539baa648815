import type { Metadata, ServerDuplexStream, sendUnaryData } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import type { AgentServiceHandlers } from '../../proto/wire.ts';
import { createRateLimit } from '../rate-limit.ts';
import { DomainError } from '../domain-error.ts';
import type { EnrolledAgent } from '../agents/enroll-agent.ts';
import type { AgentCertificate } from '../agents/certificate-authority.ts';
import type { EnrollRequest__Output } from '../../proto/wire.ts';
import type { LogUploads } from '../logs/log-uploads.ts';
import { draining, endCall, failCall } from './call-end.ts';
import { handleConnect } from './connect-stream.ts';
import type { ConnectStreamOptions } from './connect-stream.ts';
import type { AuthenticatedAgent, Connection, Peers } from './peers.ts';
import { isUnforeseen, statusOf } from './rpc-status.ts';
import type { TerminalsService } from '../terminals/terminals-service.ts';
import { handleTerminal } from './terminal-stream.ts';
import { handleUploadLog } from './upload-log-stream.ts';

export interface AgentServiceOptions extends ConnectStreamOptions {
  enrollAgent: (request: EnrollRequest__Output, peer: string) => Promise<EnrolledAgent>;
  renewCertificate: (presented: AgentCertificate, request: Uint8Array) => Promise<Buffer>;
  uploads: LogUploads;
  terminals: Pick<TerminalsService, 'arrive'>;
  log: Logger;
}

/** Refused tokens per address. */
const ENROLL_FAILURES = { burst: 20, perMinute: 20 };
/** The longest that agents are told to stay away, however many they are. */
const RECONNECT_SPREAD_MAX_MS = 15_000;
const RECONNECT_SPREAD_PER_AGENT_MS = 3;
/** How long an agent that was told to go may take before its stream is ended. */
const LEAVE_MS = 500;

export interface AgentService {
  handlers: (peers: Peers) => AgentServiceHandlers;
  /** Sends every agent away, spread over some seconds, and takes no new calls. */
  drain(): Promise<void>;
  /** Resolves when nothing that a call began is still being stored. */
  settled(): Promise<void>;
}

/** The edge between gRPC and the domains: message in, domain call, message out. */
export function createAgentService(options: AgentServiceOptions): AgentService {
  const { sessions, uploads, log } = options;
  const streams = new Set<ServerDuplexStream<unknown, unknown>>();
  const tasks = new Set<Promise<void>>();
  let isDraining = false;

  /** Whatever a handler meets ends its call, never the process. */
  function stream<Q, A>(call: ServerDuplexStream<Q, A>, handle: () => Promise<void>): void {
    call.on('error', () => {});
    if (isDraining) {
      endCall(call, draining());
      return;
    }
    const open = call as ServerDuplexStream<unknown, unknown>;
    streams.add(open);
    call.once('close', () => streams.delete(open));
    const task = handle()
      .catch((error: unknown) => failCall(call, error, log))
      .finally(() => tasks.delete(task));
    tasks.add(task);
  }

  function unary<A>(work: () => Promise<A>, callback: sendUnaryData<A>): void {
    const done = isDraining ? Promise.reject(draining()) : work();
    done.then(
      (answer) => callback(null, answer),
      (error: unknown) => {
        if (isUnforeseen(error)) log.error({ err: error }, 'a call failed');
        callback(statusOf(error));
      },
    );
  }

  const failures = createRateLimit(ENROLL_FAILURES);

  /** Tokens cannot be guessed; whoever tries keeps others from nothing, and is told to wait. */
  async function enroll(request: EnrollRequest__Output, peer: string): Promise<EnrolledAgent> {
    const address = peer.replace(/:\d+$/, '');
    if (!failures.allows(address)) {
      const seconds = failures.waitSeconds(address);
      throw new DomainError(
        'too_many',
        'too_many_attempts',
        `Too many failed attempts came from this address; the next one is possible in ${seconds} s.`,
        { retryAfterSeconds: seconds, safe: 'The token was not looked at.' },
      );
    }
    try {
      return await options.enrollAgent(request, peer);
    } catch (error) {
      if (error instanceof DomainError && error.code === 'token_refused') failures.count(address);
      throw error;
    }
  }

  return {
    handlers: (peers) => ({
      Enroll: (call, callback) =>
        unary(async () => {
          const { address } = connectionOf(peers, call.metadata);
          return enroll(call.request, address);
        }, callback),
      Renew: (call, callback) =>
        unary(async () => {
          const { certificate } = agentOf(connectionOf(peers, call.metadata));
          const request = call.request.certificateRequest ?? Buffer.alloc(0);
          return { certificate: await options.renewCertificate(certificate, request) };
        }, callback),
      Connect: (call) =>
        stream(call, async () => {
          const connection = connectionOf(peers, call.metadata);
          await handleConnect(call, connection, agentOf(connection).identity, options);
        }),
      UploadLog: (call) =>
        stream(call, async () => {
          const { identity } = agentOf(connectionOf(peers, call.metadata));
          await handleUploadLog(call, identity.agentId, uploads, log);
        }),
      Terminal: (call) =>
        stream(call, async () => {
          const { identity } = agentOf(connectionOf(peers, call.metadata));
          await handleTerminal(call, identity.agentId, options.terminals);
        }),
    }),

    settled: async () => {
      await Promise.all(tasks);
    },

    drain: async () => {
      isDraining = true;
      const leaving = sessions.all();
      const spread = Math.min(
        leaving.length * RECONNECT_SPREAD_PER_AGENT_MS,
        RECONNECT_SPREAD_MAX_MS,
      );
      for (const session of leaving) {
        session.send({ drain: { reconnectAfterMs: Math.floor(Math.random() * spread) } });
      }
      if (leaving.length > 0) await new Promise((resolve) => setTimeout(resolve, LEAVE_MS));
      for (const call of streams) endCall(call, draining());
    },
  };
}

function connectionOf(peers: Peers, metadata: Metadata): Connection {
  const connection = peers.of(metadata);
  if (connection === undefined) {
    throw new DomainError('unavailable', 'connection_gone', 'The connection is gone.');
  }
  return connection;
}

/** The call guard lets nobody else through. */
function agentOf(connection: Connection): AuthenticatedAgent {
  if (connection.agent === null) {
    throw new DomainError('unauthenticated', 'certificate_required', 'A certificate is needed.');
  }
  return connection.agent;
}
