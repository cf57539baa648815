// Original file: proto/intervene/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface JobEvents {
  'jobId'?: (string);
  'firstSequence'?: (number | string | Long);
  'records'?: (Buffer | Uint8Array | string)[];
}

export interface JobEvents__Output {
  'jobId'?: (string);
  'firstSequence'?: (number);
  'records'?: (Buffer)[];
}
