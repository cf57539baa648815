import { BootedDebian } from './booted-debian.ts';
import type { BootOptions } from './booted-debian.ts';
import { OPEN_POLICY, Stack } from './stack.ts';

export interface OptedInOptions extends BootOptions {
  /** Text of the server's policy.toml; allows everything unless given. */
  policy?: string;
}

/**
 * The whole product with its agent on a booted Debian: the server `web-04` of the stack, where the client's
 * own install line was run. The control plane and the people's programs run outside.
 */
export class OptedInServer {
  readonly stack: Stack;
  readonly debian: BootedDebian;

  private constructor(stack: Stack, debian: BootedDebian) {
    this.stack = stack;
    this.debian = debian;
  }

  static async start(options: OptedInOptions = {}): Promise<OptedInServer> {
    const debian = await BootedDebian.start(options);
    let stack: Stack | undefined;
    try {
      stack = await Stack.start({ agent: 'none' });
      await debian.reachHost(stack.httpPort);
      await debian.reachHost(stack.agentPort);
      const server = new OptedInServer(stack, debian);
      await server.optIn(options.policy ?? OPEN_POLICY);
      return server;
    } catch (error) {
      await stack?.close();
      await debian.close();
      throw error;
    }
  }

  private async optIn(policy: string): Promise<void> {
    await this.debian.write('/etc/intervene/policy.toml', policy);
    const { installLine } = await this.stack.json<{ installLine: string }>(
      'carol',
      'enroll',
      'web-04',
      '--mode',
      'resident',
    );
    await this.debian.ok(['sh', '-c', installLine.replace(/ \)$/, ' --yes )')]);
    await this.stack.connected();
  }

  async close(): Promise<void> {
    await this.debian.close();
    await this.stack.close();
  }
}
