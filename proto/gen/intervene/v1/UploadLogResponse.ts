// Original file: proto/intervene/v1/agent.proto

import type { Long } from '@grpc/proto-loader';

export interface UploadLogResponse {
  'committedOffset'?: (number | string | Long);
}

export interface UploadLogResponse__Output {
  'committedOffset'?: (number);
}
