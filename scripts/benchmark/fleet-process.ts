import { LightAgent } from './light-agent.ts';
import type { LightIdentity, LightTarget } from './light-agent.ts';

export type FleetCommand =
  | { type: 'agents'; identities: LightIdentity[]; target: LightTarget }
  | { type: 'connect'; count: number }
  | { type: 'watch'; count: number };

export interface FleetNews {
  welcomed: number;
}

/** The agent's own way back: full jitter, from 0.5 s to 30 s. */
const BACKOFF = { firstMs: 500, mostMs: 30_000 };
/** As many handshakes under way as the control plane can answer without them timing out. */
const CONNECTING_MAX = 200;
/** From the attempt's begin to the welcome. */
const ATTEMPT_MS = 30_000;

const agents: LightAgent[] = [];
const waiting: (() => void)[] = [];
let connecting = 0;
let welcomed = 0;
let wanted = Infinity;

function tell(): void {
  if (welcomed >= wanted) process.send?.({ welcomed } satisfies FleetNews);
}

function next(): void {
  while (connecting < CONNECTING_MAX && waiting.length > 0) {
    connecting++;
    waiting.shift()!();
  }
}

/** Keeps one agent connected, for ever. */
function keep(agent: LightAgent): void {
  let failures = 0;
  let isWelcomed = false;
  let isConnecting = false;
  const settle = () => {
    if (!isConnecting) return;
    isConnecting = false;
    connecting--;
    next();
  };
  const attempt = () => {
    isConnecting = true;
    agent.connect();
    const timer = setTimeout(() => !isWelcomed && agent.drop(), ATTEMPT_MS);
    agent.onWelcome = () => {
      clearTimeout(timer);
      isWelcomed = true;
      failures = 0;
      welcomed++;
      settle();
      tell();
    };
    agent.onClose = () => {
      clearTimeout(timer);
      if (isWelcomed) welcomed--;
      isWelcomed = false;
      settle();
      const most = Math.min(BACKOFF.mostMs, BACKOFF.firstMs * 2 ** ++failures);
      setTimeout(queue, Math.random() * most);
    };
  };
  const queue = () => {
    waiting.push(attempt);
    next();
  };
  queue();
}

process.on('message', (command: FleetCommand) => {
  if (command.type === 'agents') {
    agents.push(...command.identities.map((one) => new LightAgent(one, command.target)));
  } else if (command.type === 'connect') {
    for (const agent of agents.splice(0, command.count)) keep(agent);
  } else {
    wanted = command.count;
    tell();
  }
});
process.on('disconnect', () => process.exit(0));
