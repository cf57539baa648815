// Original file: proto/intervene/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface JobPosition {
  'jobId'?: (string);
  'known'?: (boolean);
  'ended'?: (boolean);
  'nextSequence'?: (number | string | Long);
  'logOffset'?: (number | string | Long);
}

export interface JobPosition__Output {
  'jobId'?: (string);
  'known'?: (boolean);
  'ended'?: (boolean);
  'nextSequence'?: (number);
  'logOffset'?: (number);
}
