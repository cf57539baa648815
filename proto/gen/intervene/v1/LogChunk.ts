// Original file: proto/intervene/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface LogChunk {
  'offset'?: (number | string | Long);
  'length'?: (number);
  'compression'?: (number);
  'data'?: (Buffer | Uint8Array | string);
  'firstLine'?: (number | string | Long);
  'lines'?: (number);
}

export interface LogChunk__Output {
  'offset'?: (number);
  'length'?: (number);
  'compression'?: (number);
  'data'?: (Buffer);
  'firstLine'?: (number);
  'lines'?: (number);
}
