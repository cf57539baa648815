import type { z } from 'zod';
import type { ActionClass } from '../documents/fields.ts';

/**
 * What a runner of this action is given. Anything not named is withheld: see `agent/jobs/sandbox.ts`.
 */
export type Capability =
  /** The host's own root file system, writable, with all of root's powers. */
  | 'host'
  /** The network. */
  | 'network'
  /** The block device or image file named by the parameter `device`. */
  | 'device'
  /**
   * Sees the live system and can change nothing of it: configuration and keys read-only, and what the agent
   * observed for the job (`agent/jobs/observations.ts`).
   */
  | 'observe'
  /**
   * The disks of the order's target, loop devices over them, and mounting in a private namespace, with the
   * powers that go with them (`agent/target/open-target.ts`).
   */
  | 'disks'
  /** Runs programs that lie on the target's disk. */
  | 'runs-target-programs'
  /** Decides what becomes of the guarded change of the job that the parameter `job` names. */
  | 'guard';

/** An action as everybody sees it: forms, help, schemas and checks are derived from this. */
export interface ActionDeclaration {
  /** `area.verb`, or `area.verb-noun`. */
  id: string;
  version: number;
  title: string;
  /** One plain sentence for the client. */
  sentence: string;
  class: ActionClass;
  /** Class of an order of mode `plan`. */
  planClass: ActionClass;
  /** Whether `apply` needs the digest of a plan. */
  plans: boolean;
  /** Whether jobs of it change the server: two such never run at once. */
  changes: boolean;
  undo: 'yes' | 'none';
  parameters: z.ZodObject;
  result: z.ZodType;
  /** Parameters that bring something in; a grant must name their values. */
  bringsIn: readonly string[];
  /** Names of secrets an order may seal to the agent for this action; see `secretsOf`. */
  sealedInputs: readonly string[];
  interrupt: 'now' | 'finish' | 'rollback';
  /** How long it usually takes, as people read it. */
  usualDuration: string;
  capabilities: readonly Capability[];
  /** Missing: it works on the running system only. Else what it is given to work on one found on disks. */
  offline?: {
    capabilities: readonly Capability[];
    /** Where it differs: a system that does not run can be put back as it was. */
    undo?: ActionDeclaration['undo'];
  };
  /** No other job may run beside it, also none that only looks: it would be cut off. */
  alone?: true;
  /**
   * On a running system its change could cut the server off: it is taken back by itself unless an engineer
   * confirms it in time with `job.confirm` (`agent/guard`).
   */
  guarded?: true;
  /**
   * The engineer talks with it while it runs, over frames that only they and the agent can make: its
   * parameter `sessionKey` is the engineer's half of the key, see `proto/terminal`.
   */
  interactive?: true;
}

/** The secret of an order for disks that opens the encrypted volumes on them. */
export const DISK_KEY = 'disk-key';

/** Names of the secrets that an order of this action may bring, for one of its targets or, without, for any. */
export function secretsOf(
  { sealedInputs, offline }: Pick<ActionDeclaration, 'sealedInputs' | 'offline'>,
  target?: object | null,
): readonly string[] {
  return offline === undefined || target === null ? sealedInputs : [...sealedInputs, DISK_KEY];
}

/** The declaration as it holds for the target of one order: what is given differs, all else does not. */
export function declarationFor(
  action: ActionDeclaration,
  target: object | null,
): ActionDeclaration {
  if (target === null || action.offline === undefined) return action;
  const { capabilities, undo = action.undo } = action.offline;
  return { ...action, capabilities, undo };
}

/** Whether there is anything of this kind for it to work on: the running system, or systems on disks. */
export function worksOn(action: ActionDeclaration, target: object | null): boolean {
  return target === null ? !action.capabilities.includes('disks') : action.offline !== undefined;
}
