import path from 'node:path';
import pino from 'pino';
import type { Logger } from 'pino';
import { Agent } from '../agent.ts';
import { DEFAULT_CONFIG_FILE, loadConfig } from '../config.ts';
import type { AgentConfig, AgentOptions } from '../config.ts';
import { loadIdentity } from '../connection/identity.ts';
import type { AgentIdentity } from '../connection/identity.ts';
import { collectFacts, identityOf } from '../facts.ts';
import { createJobs } from '../jobs/jobs.ts';
import { locateProgram } from '../program.ts';
import { isAgentAlive, readStatus } from '../status-file.ts';
import { createServiceManager } from '../systemd.ts';
import { AgentTrust } from '../trust/agent-trust.ts';

/** A second signal does not wait any longer. */
const FORCED_EXIT = 130;

export interface RunEnvironment {
  notifySocket: string | undefined;
  watchdogUsec: string | undefined;
}

/** Runs until SIGTERM or SIGINT, which leave the jobs running. */
export async function runCommand(
  options: AgentOptions,
  environment: RunEnvironment,
): Promise<number> {
  const config = loadConfig(options);
  const log = pino({ level: config.logLevel, base: null }, pino.destination({ fd: 2, sync: true }));
  const former = readStatus(config.stateDirectory);
  if (former !== null && former.pid !== process.pid && isAgentAlive(former)) {
    process.stderr.write(`✗ An agent runs here already: process ${former.pid}\n`);
    return 1;
  }
  const identity = await loadIdentity(config.stateDirectory);
  const manager = createServiceManager({ ...environment, log });
  let shown = '';
  const agent = await Agent.start({
    config,
    identity,
    trust: await openTrust(config, identity, log),
    jobs: openJobs(config, log),
    log,
    onStatus: ({ connection, address }) => {
      const text = `${connection}: ${address}`;
      if (text !== shown) manager.status(text);
      shown = text;
    },
  });
  manager.ready('started');
  await untilSignal();
  log.info('stopping; jobs go on');
  manager.stopping();
  await agent.stop();
  manager.close();
  return 0;
}

function openTrust(config: AgentConfig, identity: AgentIdentity, log: Logger): Promise<AgentTrust> {
  return AgentTrust.open({
    stateDirectory: config.stateDirectory,
    policyFile: config.policyFile,
    self: { server: identity.serverId, account: identity.accountId, mode: identity.mode },
    signer: identity.signer,
    ageIdentity: identity.ageIdentity,
    facts: () => identityOf(collectFacts()),
    onTimeMarkError: (error) => log.error({ err: error }, 'the time mark was not saved'),
    ...(config.imageBuiltMs !== null && { timeFloorMs: config.imageBuiltMs }),
  });
}

function openJobs(config: AgentConfig, log: Logger) {
  const program = locateProgram();
  return createJobs({
    stateDirectory: config.stateDirectory,
    programDirectory: program.directory,
    runnerEntry: program.runnerEntry,
    protectedPaths: [path.dirname(DEFAULT_CONFIG_FILE), config.configFile, config.policyFile],
    log,
  });
}

async function untilSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let count = 0;
  const onSignal = () => {
    if (++count > 1) process.exit(FORCED_EXIT);
    resolve();
  };
  process.on('SIGTERM', onSignal);
  process.on('SIGINT', onSignal);
  await promise;
}
