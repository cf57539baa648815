import { commandText, shell } from '../../../proto/documents/command-text.ts';
import type { RefusalReason } from '../../../proto/documents/reasons.ts';
import type { NextStep } from '../cli-error.ts';

/** What the sentences are about. */
export interface RefusedJob {
  job: string;
  server: string;
  action: string;
  /** Its parameters and options, as they are typed. */
  words: readonly string[];
  ticket: string;
}

interface RefusalText {
  happened: (refused: RefusedJob) => string;
  next: (refused: RefusedJob) => NextStep;
}

const sayAgain = (verb: 'run' | 'plan', { server, action, words }: RefusedJob) =>
  commandText(['intervene', verb, server, action, ...words]);
const askClient = (refused: RefusedJob): NextStep => ({
  label: 'the client gives permission',
  command: shell`intervene authorize ${refused.server} --ticket ${refused.ticket} --actions ${refused.action}`,
  byOther: true,
});
const orderAgain = (refused: RefusedJob): NextStep => ({
  label: 'order it again',
  command: sayAgain('run', refused),
});
const planAgain = (refused: RefusedJob): NextStep => ({
  label: 'plan again',
  command: sayAgain('plan', refused),
});
const showServer = (refused: RefusedJob): NextStep => ({
  label: 'see what the server says of itself',
  command: shell`intervene servers show ${refused.server}`,
});
const showAction = (refused: RefusedJob): NextStep => ({
  label: 'see its parameters',
  command: shell`intervene actions ${refused.action}`,
});
const showJobs = (refused: RefusedJob): NextStep => ({
  label: 'see the other jobs',
  command: shell`intervene jobs list --server ${refused.server}`,
});
const certify = (): NextStep => ({
  label: 'see who is certified',
  command: 'intervene engineers list',
});
const upgradeOne = (): NextStep => ({
  label: 'compare versions',
  command: 'intervene agents list',
});
/** Which of its entries is in the way the control plane is not told. */
const allowThere = ({ action }: RefusedJob): NextStep => ({
  label: `root on the server looks at it, and has it allow ${action} in /etc/intervene/policy.toml (allow, highest-class, allow-steps-without-undo)`,
  command: 'intervene-agent policy check',
});
const askRoot = (command: string): NextStep => ({ label: 'root on the server runs', command });

/** A sentence for every reason an agent may refuse for. Nothing was started in any of these cases. */
const refusalTexts: Record<RefusalReason, RefusalText> = {
  locked: {
    happened: (job) => `${job.server} is locked by its local administrator and takes no job.`,
    next: () => askRoot('intervene-agent unlock'),
  },
  document_too_large: {
    happened: () => 'A signed document is larger than the agent reads.',
    next: showAction,
  },
  envelope_malformed: {
    happened: () => 'A document reached the agent damaged; it is no signed envelope.',
    next: orderAgain,
  },
  signer_unknown: {
    happened: (job) => `${job.server} does not know the key that signed a document.`,
    next: certify,
  },
  signature_invalid: {
    happened: () => 'A signature does not hold: the document was changed after it was signed.',
    next: orderAgain,
  },
  payload_malformed: {
    happened: () => 'A signed document does not say what its kind must say.',
    next: upgradeOne,
  },
  type_not_allowed_for_key: {
    happened: () => 'A key signed a kind of document that it may not sign.',
    next: certify,
  },
  wrong_server: {
    happened: (job) => `The order is for another server than ${job.server}.`,
    next: showServer,
  },
  wrong_agent: {
    happened: (job) =>
      `The order is for another agent than the one that runs on ${job.server} now.`,
    next: orderAgain,
  },
  identity_mismatch: {
    happened: (job) =>
      `The machine is not the one the order expects as ${job.server}: serial, MAC, machine id or host name differ.`,
    next: showServer,
  },
  unidentified: {
    happened: (job) =>
      `Nobody has confirmed yet which machine booted as ${job.server}; until then nothing on it is changed.`,
    next: (job) => ({
      label: 'compare serial, MAC and host name',
      command: shell`intervene servers identify ${job.server}`,
    }),
  },
  order_not_yet_valid: {
    happened: (job) => `The order lies in the future by the clock of ${job.server}.`,
    next: showServer,
  },
  order_expired: {
    happened: () => 'The order reached the agent after the time it had to start by.',
    next: orderAgain,
  },
  clock_jumped: {
    happened: (job) => `The clock of ${job.server} jumped ahead by over a day; it trusts no date.`,
    next: () => askRoot('intervene-agent trust accept-time'),
  },
  certification_expired: {
    happened: () => 'The certification of the engineer who signed has run out.',
    next: () => ({ label: 'a lead renews it', command: 'intervene engineers renew' }),
  },
  revoked: {
    happened: () => 'The authorization, or a key that signed, was taken back.',
    next: askClient,
  },
  grant_missing: {
    happened: (job) =>
      `There is no authorization of the client for ${job.action} on ${job.server}.`,
    next: askClient,
  },
  grant_mismatch: {
    happened: () => 'The order names another authorization than the one that came with it.',
    next: orderAgain,
  },
  grant_not_yet_valid: {
    happened: () => 'The authorization is not valid yet.',
    next: orderAgain,
  },
  grant_expired: {
    happened: () => 'The authorization has run out.',
    next: askClient,
  },
  attestation_not_allowed: {
    happened: () => "An engineer's record of the permission counts in rescue mode only.",
    next: askClient,
  },
  grant_server_not_covered: {
    happened: (job) => `The authorization is not for ${job.server}.`,
    next: askClient,
  },
  grant_action_not_covered: {
    happened: (job) => `The authorization does not allow ${job.action}.`,
    next: askClient,
  },
  grant_parameter_not_covered: {
    happened: (job) => `The authorization does not allow these parameters of ${job.action}.`,
    next: askClient,
  },
  grant_class_not_covered: {
    happened: (job) => `The class of ${job.action} is above what the authorization allows.`,
    next: askClient,
  },
  engineer_not_named: {
    happened: () =>
      'The authorization names its engineers, and the one who signed is not among them.',
    next: askClient,
  },
  engineers_too_few: {
    happened: () => 'More engineers must sign this order than did.',
    next: (job) => ({
      label: 'propose it, for another engineer to approve',
      command: `${sayAgain('run', job)} --engineers 2`,
    }),
  },
  steps_without_undo_not_accepted: {
    happened: (job) =>
      `A step of ${job.action} cannot be undone, and the authorization does not accept that.`,
    next: (job) => ({
      label: 'the client accepts it',
      command: shell`intervene authorize ${job.server} --ticket ${job.ticket} --actions ${job.action} --accept-no-undo`,
      byOther: true,
    }),
  },
  policy_missing: {
    happened: (job) => `${job.server} has no policy that allows anything.`,
    next: allowThere,
  },
  policy_denied: {
    happened: (job) => `The local policy of ${job.server} does not allow ${job.action}.`,
    next: allowThere,
  },
  action_unknown: {
    happened: (job) => `The agent on ${job.server} does not know the action ${job.action}.`,
    next: upgradeOne,
  },
  action_version_unknown: {
    happened: (job) => `The agent on ${job.server} has another version of ${job.action}.`,
    next: upgradeOne,
  },
  parameters_invalid: {
    happened: (job) => `The parameters are not what ${job.action} takes.`,
    next: showAction,
  },
  mode_not_supported: {
    happened: (job) => `${job.action} cannot be planned, applied or undone as the order asks.`,
    next: showAction,
  },
  plan_missing: {
    happened: (job) => `${job.action} needs a plan, and none came with the order.`,
    next: planAgain,
  },
  plan_mismatch: {
    happened: () => 'The plan is out of date, or it is not the one that the order names.',
    next: planAgain,
  },
  sealed_input_unreadable: {
    happened: (job) =>
      `A secret was not sealed to the agent that runs on ${job.server}, or not for this job.`,
    next: orderAgain,
  },
  undo_not_possible: {
    happened: () => 'There is nothing that could be put back for this job.',
    next: (job) => ({ label: 'see what it did', command: shell`intervene jobs show ${job.job}` }),
  },
  nonce_used: {
    happened: (job) => `${job.server} has seen this order before; an order starts once, for ever.`,
    next: orderAgain,
  },
  busy_changing: {
    happened: (job) => `Another job changes ${job.server} right now.`,
    next: showJobs,
  },
  lease_expired: {
    happened: (job) =>
      `${job.server} had lost the control plane for over a minute and starts nothing new.`,
    next: orderAgain,
  },
  sandbox_unavailable: {
    happened: (job) =>
      `${job.server} cannot confine the job: bubblewrap is missing or cannot run there.`,
    next: () => askRoot('apt-get install bubblewrap'),
  },
  journal_unwritable: {
    happened: (job) => `${job.server} cannot write its journal: its disk is full or read-only.`,
    next: () => askRoot('df -h /var/lib/intervene'),
  },
};

/**
 * The refusal in three parts. `detail` is the agent's own sentence and comes first where there is one: it
 * knows the values.
 */
export function describeRefusal(
  reason: string | null,
  detail: string,
  refused: RefusedJob,
): { happened: string; safe: string; next: NextStep[] } {
  const text =
    reason !== null && Object.hasOwn(refusalTexts, reason)
      ? refusalTexts[reason as RefusalReason]
      : null;
  const sentence =
    text?.happened(refused) ?? `${refused.server} refused for a reason this program does not know.`;
  return {
    happened: detail === '' ? sentence : `${sentence} The agent says: ${detail}`,
    safe: 'Nothing was started. The refusal is signed.',
    next: [text?.next(refused) ?? upgradeOne()],
  };
}
