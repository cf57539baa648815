import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ApiClient } from '../../control-plane/cli/api/api-client.ts';
import { buildOrder } from '../../control-plane/cli/orders/build-order.ts';
import type { AgentBody } from '../../control-plane/cli/api/bodies.ts';
import { findAction } from '../../proto/actions/catalogue.ts';
import { loadSigningKey } from '../../proto/documents/keys.ts';
import { RecordDecoder } from '../../proto/spool/record.ts';
import type { LogRecord } from '../../proto/spool/record.ts';
import type { Stack } from '../../test/harness/stack.ts';
import type { JobView } from '../../test/harness/stack-people.ts';

/** An engineer's program that uses the API over kept-open connections. */
export class InterveneCalls {
  private readonly api: ApiClient;
  private readonly signer;
  private readonly agent: AgentBody;
  private readonly grant: string;

  private constructor(api: ApiClient, profile: string, agent: AgentBody, grant: string) {
    this.api = api;
    this.signer = loadSigningKey(readFileSync(path.join(profile, 'keys/engineer.key'), 'utf8'));
    this.agent = agent;
    this.grant = grant;
  }

  static async open(stack: Stack): Promise<InterveneCalls> {
    const profile = path.join(stack.environment.INTERVENE_HOME!, 'profiles/lead');
    const token = readFileSync(path.join(profile, 'token'), 'utf8').trim();
    const api = new ApiClient({ url: stack.url, token, caFile: null });
    const [agent] = await api.list<AgentBody>('/api/v1/agents');
    const [grant] = await api.list<{ digest: string }>('/api/v1/grants', { state: 'valid' });
    if (agent === undefined || grant === undefined) throw new Error('no agent or no grant');
    return new InterveneCalls(api, profile, agent, grant.digest);
  }

  agents(): Promise<AgentBody[]> {
    return this.api.list<AgentBody>('/api/v1/agents', { limit: 500 });
  }

  /** Signs an order for one command. */
  async sign(argv: readonly string[], agent = this.agent): Promise<string> {
    const { envelope } = await buildOrder(
      {
        action: findAction('command.run')!,
        mode: 'apply',
        server: agent.serverId,
        identity: null,
        agent,
        parameters: { argv: [...argv] },
        authorization: this.grant,
        plan: null,
        undoes: null,
        target: null,
        secrets: {},
        given: {},
        maxRuntimeSeconds: null,
        onDisconnect: 'finish',
        reason: 'benchmark',
        nowMs: Date.now(),
      },
      this.signer,
    );
    return Buffer.from(envelope).toString('base64');
  }

  /** Submits a signed order; resolves when its end is known, durable and signed. */
  submitAndWait(order: string): Promise<JobView> {
    return this.api.post<JobView>('/api/v1/jobs', { order }, { waitSeconds: 30 });
  }

  submit(order: string): Promise<JobView> {
    return this.api.post<JobView>('/api/v1/jobs', { order });
  }

  cancel(job: string): Promise<JobView> {
    return this.api.post<JobView>(`/api/v1/jobs/${job}/cancel`, { mode: 'now' });
  }

  /** Runs a command to its end; in milliseconds, without the signing. */
  async timeToEnd(argv: readonly string[]): Promise<number> {
    const order = await this.sign(argv);
    const began = performance.now();
    let job = await this.submit(order);
    while (job.state === 'queued' || job.state === 'delivered' || job.state === 'running') {
      job = await this.wait(job.id);
    }
    if (job.state !== 'succeeded') throw new Error(`the job ended ${job.state}`);
    return performance.now() - began;
  }

  wait(job: string): Promise<JobView> {
    return this.api.get<JobView>(`/api/v1/jobs/${job}`, {}, { waitSeconds: 60 });
  }

  /** Follows the log to its end. */
  async follow(job: string, onRecord: (record: LogRecord) => void): Promise<number> {
    const response = await this.api.open(
      `/api/v1/jobs/${job}/log`,
      { offset: 0, follow: true },
      'application/vnd.intervene.log',
      new AbortController().signal,
    );
    const decoder = new RecordDecoder();
    let bytes = 0;
    for await (const piece of response as AsyncIterable<Buffer>) {
      bytes += piece.length;
      for (const record of decoder.push(piece)) onRecord(record);
    }
    return bytes;
  }

  close(): void {
    this.api.close();
  }
}
