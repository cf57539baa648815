// Original file: proto/intervene/v1/agent.proto

import type { Facts as _intervene_v1_Facts, Facts__Output as _intervene_v1_Facts__Output } from '../../intervene/v1/Facts.ts';

export interface EnrollRequest {
  'token'?: (string);
  'certificateRequest'?: (Buffer | Uint8Array | string);
  'agentKey'?: (string);
  'ageRecipient'?: (string);
  'facts'?: (_intervene_v1_Facts | null);
}

export interface EnrollRequest__Output {
  'token'?: (string);
  'certificateRequest'?: (Buffer);
  'agentKey'?: (string);
  'ageRecipient'?: (string);
  'facts'?: (_intervene_v1_Facts__Output);
}
