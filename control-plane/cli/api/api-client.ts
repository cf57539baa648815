import type http from 'node:http';
import type { IncomingMessage } from 'node:http';
import type { WebSocket } from 'ws';
import { FRAME_MAX_BYTES } from '../../../proto/terminal/frame.ts';
import { CliError, UnreachableError } from '../cli-error.ts';
import { readNamedFile } from '../named-file.ts';
import { responseError } from './response-error.ts';

export interface ApiOptions {
  url: string;
  token: string | null;
  caFile: string | null;
}

export type Query = Record<string, string | number | boolean | undefined>;

/** No answer for this long means that there is none; a long poll may take its own time on top. */
const ANSWER_MS = 30_000;
const BODY_MAX_BYTES = 64 * 1024 * 1024;

/**
 * The REST interface of a control plane, over kept-open connections. Throws CliError for every answer that
 * is no success, UnreachableError when there is none.
 */
export class ApiClient {
  readonly url: string;
  private readonly base: URL;
  private readonly token: string | null;
  private readonly caFile: string | null;
  private transport: Promise<Transport> | null = null;

  constructor(options: ApiOptions) {
    this.url = options.url.replace(/\/+$/, '');
    this.base = new URL(`${this.url}/`);
    this.token = options.token;
    this.caFile = options.caFile;
  }

  get<T>(path: string, query: Query = {}, options: { waitSeconds?: number } = {}): Promise<T> {
    return this.call<T>('GET', path, query, undefined, options.waitSeconds);
  }

  post<T>(path: string, body: unknown, options: { waitSeconds?: number } = {}): Promise<T> {
    return this.call<T>('POST', path, {}, body, options.waitSeconds);
  }

  delete<T>(path: string): Promise<T> {
    return this.call<T>('DELETE', path, {}, undefined);
  }

  /** All items of a list, page after page, `limit` at most. */
  async list<T>(path: string, query: Query = {}, limit = Number.POSITIVE_INFINITY): Promise<T[]> {
    const items: T[] = [];
    let after = query['after'];
    do {
      const page = await this.get<{ items: T[]; next: string | null }>(path, { ...query, after });
      items.push(...page.items);
      after = page.next ?? undefined;
    } while (after !== undefined && items.length < limit);
    return items.slice(0, limit);
  }

  /**
   * Opens a response as a stream. The caller reads or destroys it; `complete` of the message tells whether
   * it ended or was cut.
   */
  async open(
    path: string,
    query: Query,
    accept: string,
    signal: AbortSignal,
  ): Promise<IncomingMessage> {
    const response = await this.send('GET', path, query, undefined, { accept, signal });
    if (response.statusCode !== 200) throw responseError(response, await readBody(response));
    return response;
  }

  /** Opens a WebSocket for binary messages. Throws as every request does. */
  async openSocket(path: string): Promise<WebSocket> {
    const { WebSocket: Socket } = await import('ws');
    const url = new URL(path.replace(/^\//, ''), this.base);
    url.protocol = url.protocol === 'http:' ? 'ws:' : 'wss:';
    const socket = new Socket(url, {
      perMessageDeflate: false,
      followRedirects: false,
      handshakeTimeout: ANSWER_MS,
      maxPayload: FRAME_MAX_BYTES,
      headers: this.token === null ? {} : { authorization: `Bearer ${this.token}` },
      ...(this.caFile !== null && { ca: readNamedFile(this.caFile) }),
      ...(url.protocol === 'wss:' && { minVersion: 'TLSv1.3' as const }),
    });
    return new Promise<WebSocket>((resolve, reject) => {
      socket.on('error', (cause) => reject(new UnreachableError(this.url, cause)));
      socket.once('open', () => resolve(socket));
      socket.once('unexpected-response', (_request, response) => {
        readBody(response)
          .then((text) => reject(responseError(response, text)))
          .catch((cause: unknown) => reject(new UnreachableError(this.url, cause)))
          .finally(() => socket.terminate());
      });
    });
  }

  /** Lets go of the kept-open connections, so that the process can end. */
  close(): void {
    void this.transport?.then((transport) => transport.agent.destroy());
  }

  private async call<T>(
    method: string,
    path: string,
    query: Query,
    body: unknown,
    waitSeconds?: number,
  ): Promise<T> {
    const signal = AbortSignal.timeout(ANSWER_MS + (waitSeconds ?? 0) * 1000);
    const response = await this.send(method, path, query, body, {
      accept: 'application/json',
      signal,
      ...(waitSeconds !== undefined && { prefer: `wait=${waitSeconds}` }),
    });
    let text: string;
    try {
      text = await readBody(response);
    } catch (cause) {
      throw new UnreachableError(this.url, cause);
    }
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw responseError(response, text);
    if (text === '') return undefined as T;
    try {
      return JSON.parse(text) as T;
    } catch (cause) {
      throw new CliError({
        code: 'answer_malformed',
        happened: `${this.url} did not answer with JSON: is it a control plane?`,
        cause,
      });
    }
  }

  private async send(
    method: string,
    path: string,
    query: Query,
    body: unknown,
    options: { accept: string; signal: AbortSignal; prefer?: string },
  ): Promise<IncomingMessage> {
    const url = new URL(path.replace(/^\//, ''), this.base);
    for (const [name, value] of Object.entries(query)) {
      if (value !== undefined) url.searchParams.set(name, String(value));
    }
    const content = body === undefined ? null : Buffer.from(JSON.stringify(body));
    const transport = await (this.transport ??= this.openTransport());
    return new Promise<IncomingMessage>((resolve, reject) => {
      const request = transport.request(url, {
        method,
        agent: transport.agent,
        signal: options.signal,
        headers: {
          accept: options.accept,
          ...(this.token !== null && { authorization: `Bearer ${this.token}` }),
          ...(options.prefer !== undefined && { prefer: options.prefer }),
          ...(content && { 'content-type': 'application/json', 'content-length': content.length }),
        },
      });
      request.on('response', resolve);
      request.on('error', (cause) => reject(new UnreachableError(this.url, cause)));
      request.end(content ?? undefined);
    });
  }

  private async openTransport(): Promise<Transport> {
    const settings = { keepAlive: true, keepAliveMsecs: 10_000, noDelay: true };
    if (this.base.protocol === 'http:') {
      // Imported as a module it would bring along what only `fetch` needs: a tenth of a command's start.
      const { request, Agent } = process.getBuiltinModule('node:http');
      return { request, agent: new Agent(settings) };
    }
    const https = process.getBuiltinModule('node:https');
    const ca = this.caFile === null ? undefined : readNamedFile(this.caFile);
    return {
      request: https.request,
      agent: new https.Agent({ ...settings, minVersion: 'TLSv1.3', ...(ca && { ca }) }),
    };
  }
}

interface Transport {
  request: typeof http.request;
  agent: http.Agent;
}

/** How a path names a thing: `1042/3` may not be cut at its slash. */
export function reference(text: string): string {
  const job = /^(\d+)\/(\d+)$/.exec(text);
  return encodeURIComponent(job ? `${job[1]}.${job[2]}` : text);
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_MAX_BYTES) throw new Error('the answer is larger than 64 MiB');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
