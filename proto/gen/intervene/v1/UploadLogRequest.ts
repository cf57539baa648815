// Original file: proto/intervene/v1/agent.proto

import type { LogChunk as _intervene_v1_LogChunk, LogChunk__Output as _intervene_v1_LogChunk__Output } from '../../intervene/v1/LogChunk.ts';

export interface UploadLogRequest {
  'jobId'?: (string);
  'chunk'?: (_intervene_v1_LogChunk | null);
  'body'?: "jobId"|"chunk";
}

export interface UploadLogRequest__Output {
  'jobId'?: (string);
  'chunk'?: (_intervene_v1_LogChunk__Output);
  'body'?: "jobId"|"chunk";
}
