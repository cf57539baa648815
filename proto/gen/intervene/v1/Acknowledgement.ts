// Original file: proto/intervene/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface Acknowledgement {
  'jobId'?: (string);
  'receipt'?: (boolean);
  'nextSequence'?: (number | string | Long);
  'ended'?: (boolean);
  '_nextSequence'?: "nextSequence";
}

export interface Acknowledgement__Output {
  'jobId'?: (string);
  'receipt'?: (boolean);
  'nextSequence'?: (number);
  'ended'?: (boolean);
  '_nextSequence'?: "nextSequence";
}
