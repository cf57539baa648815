/**
 * Why an agent refuses an order: a public contract in the order of the checks, extended reluctantly. The
 * first check that fails names the reason and nothing after it runs.
 */
export const refusalReasons = [
  'locked',
  // Of any document, when its turn comes.
  'document_too_large',
  'envelope_malformed',
  'signer_unknown',
  'signature_invalid',
  'payload_malformed',
  'type_not_allowed_for_key',
  'wrong_server',
  'wrong_agent',
  'identity_mismatch',
  // In rescue, nobody has confirmed yet which machine it is.
  'unidentified',
  'clock_jumped',
  'order_not_yet_valid',
  'order_expired',
  'certification_expired',
  'revoked',
  'action_unknown',
  'action_version_unknown',
  'mode_not_supported',
  'grant_missing',
  'grant_mismatch',
  'attestation_not_allowed',
  'grant_not_yet_valid',
  'grant_expired',
  'grant_server_not_covered',
  'grant_action_not_covered',
  'grant_class_not_covered',
  'grant_parameter_not_covered',
  'engineer_not_named',
  'policy_missing',
  'policy_denied',
  'engineers_too_few',
  'parameters_invalid',
  'plan_missing',
  'plan_mismatch',
  'steps_without_undo_not_accepted',
  'undo_not_possible',
  'sealed_input_unreadable',
  'nonce_used',
  'busy_changing',
  'lease_expired',
  'sandbox_unavailable',
  'journal_unwritable',
] as const;

export type RefusalReason = (typeof refusalReasons)[number];
