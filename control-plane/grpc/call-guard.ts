import {
  ServerInterceptingCall,
  ServerListenerBuilder,
  ResponderBuilder,
  status,
} from '@grpc/grpc-js';
import type { ServerInterceptor } from '@grpc/grpc-js';
import type { Logger } from 'pino';
import { isAboutCertificate, refusalOf, requirementOf } from './access.ts';
import type { Connection, Peers } from './peers.ts';

const REFUSED_LINGER_MS = 1_000;

/**
 * Lets a call through to its handler or not, and writes one line about it when it ends. Knows how many
 * calls are open, because `tryShutdown` does not wait for them.
 */
export class CallGuard {
  readonly interceptor: ServerInterceptor;
  private open = 0;
  private readonly idle: (() => void)[] = [];
  private readonly peers: Peers;
  private readonly log: Logger;

  constructor(options: { peers: Peers; log: Logger }) {
    this.peers = options.peers;
    this.log = options.log;
    this.interceptor = (method, call) => {
      const started = performance.now();
      let peer: Connection | undefined;
      let isOpen = true;
      this.open++;
      const end = (code: status) => {
        if (!isOpen) return;
        isOpen = false;
        this.leave();
        this.log.info(
          {
            method: method.path,
            code: status[code],
            ms: Math.round((performance.now() - started) * 10) / 10,
            peer: peer?.address,
            agent: peer?.agent?.identity.agentId,
          },
          'rpc',
        );
      };
      const listener = new ServerListenerBuilder()
        .withOnReceiveMetadata((metadata, next) => {
          peer = this.peers.of(metadata);
          const refusal =
            peer === undefined
              ? 'connection_gone'
              : refusalOf(requirementOf(method.path), peer, Date.now());
          if (refusal === null) {
            next(metadata);
            return;
          }
          const code = isAboutCertificate(refusal)
            ? status.UNAUTHENTICATED
            : status.PERMISSION_DENIED;
          guarded.sendStatus({ code, details: refusal });
          if (peer?.agent?.denied) setTimeout(() => peer?.close(), REFUSED_LINGER_MS).unref();
        })
        .withOnCancel(() => end(status.CANCELLED))
        .build();
      const responder = new ResponderBuilder()
        .withStart((next) => next(listener))
        .withSendStatus((sent, next) => {
          end(sent.code ?? status.UNKNOWN);
          next(sent);
        })
        .build();
      const guarded = new ServerInterceptingCall(call, responder);
      return guarded;
    };
  }

  /** Resolves when no call is open, or after `timeoutMs`. */
  async whenIdle(timeoutMs: number): Promise<void> {
    if (this.open === 0) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.idle.push(resolve);
    const timer = setTimeout(resolve, timeoutMs);
    await promise;
    clearTimeout(timer);
  }

  private leave(): void {
    this.open--;
    if (this.open === 0) for (const resolve of this.idle.splice(0)) resolve();
  }
}
