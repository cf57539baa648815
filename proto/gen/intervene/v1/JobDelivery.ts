// Original file: proto/intervene/v1/agent.proto

import type { GivenSecret as _intervene_v1_GivenSecret, GivenSecret__Output as _intervene_v1_GivenSecret__Output } from '../../intervene/v1/GivenSecret.ts';

export interface JobDelivery {
  'jobId'?: (string);
  'order'?: (Buffer | Uint8Array | string);
  'authorization'?: (Buffer | Uint8Array | string);
  'certifications'?: (Buffer | Uint8Array | string)[];
  'plan'?: (Buffer | Uint8Array | string);
  'auditHead'?: (string);
  'given'?: (_intervene_v1_GivenSecret)[];
}

export interface JobDelivery__Output {
  'jobId'?: (string);
  'order'?: (Buffer);
  'authorization'?: (Buffer);
  'certifications'?: (Buffer)[];
  'plan'?: (Buffer);
  'auditHead'?: (string);
  'given'?: (_intervene_v1_GivenSecret__Output)[];
}
