import type { ActionVersion__Output } from '../../proto/gen/intervene/v1/ActionVersion.ts';
import type { Facts__Output } from '../../proto/wire.ts';
import { cleanLine } from './hostile-text.ts';

/** What a server says of itself, cut to bounds. It proves nothing and is shown as text only. */
export interface AgentFacts {
  hostname: string;
  machineId: string;
  serial: string;
  macAddresses: string[];
  os: string;
  kernel: string;
  addresses: string[];
}

const WORD_MAX = 255;
const LIST_MAX = 64;
const ACTIONS_MAX = 256;

export function readFacts(facts: Facts__Output | undefined): AgentFacts {
  return {
    hostname: cleanLine(facts?.hostname ?? '', WORD_MAX),
    machineId: cleanLine(facts?.machineId ?? '', 64),
    serial: cleanLine(facts?.serial ?? '', 200),
    macAddresses: cleanList(facts?.macAddresses, 32),
    os: cleanLine(facts?.os ?? '', WORD_MAX),
    kernel: cleanLine(facts?.kernel ?? '', WORD_MAX),
    addresses: cleanList(facts?.addresses, 64),
  };
}

export function readAgentVersion(facts: Facts__Output | undefined): string {
  return cleanLine(facts?.agentVersion ?? '', 64);
}

export function readActions(
  actions: readonly ActionVersion__Output[] | undefined,
): { id: string; version: number }[] {
  return (actions ?? [])
    .slice(0, ACTIONS_MAX)
    .map((action) => ({ id: cleanLine(action.id ?? '', 100), version: action.version ?? 0 }));
}

export function cleanList(words: readonly string[] | undefined, maxLength: number): string[] {
  return (words ?? []).slice(0, LIST_MAX).map((word) => cleanLine(word, maxLength));
}
