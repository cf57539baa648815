// Original file: proto/intervene/v1/agent.proto

import type { LogChunk as _intervene_v1_LogChunk, LogChunk__Output as _intervene_v1_LogChunk__Output } from '../../intervene/v1/LogChunk.ts';
import type { JobEvents as _intervene_v1_JobEvents, JobEvents__Output as _intervene_v1_JobEvents__Output } from '../../intervene/v1/JobEvents.ts';
import type { SealedOutput as _intervene_v1_SealedOutput, SealedOutput__Output as _intervene_v1_SealedOutput__Output } from '../../intervene/v1/SealedOutput.ts';
import type { Long } from '@grpc/proto-loader';

export interface JobEnded {
  'jobId'?: (string);
  'receipt'?: (Buffer | Uint8Array | string);
  'result'?: (Buffer | Uint8Array | string);
  'plan'?: (Buffer | Uint8Array | string);
  'tail'?: (_intervene_v1_LogChunk)[];
  'logLength'?: (number | string | Long);
  'logReleased'?: (boolean);
  'accepted'?: (Buffer | Uint8Array | string);
  'events'?: (_intervene_v1_JobEvents | null);
  'sealedOutputs'?: (_intervene_v1_SealedOutput)[];
}

export interface JobEnded__Output {
  'jobId'?: (string);
  'receipt'?: (Buffer);
  'result'?: (Buffer);
  'plan'?: (Buffer);
  'tail'?: (_intervene_v1_LogChunk__Output)[];
  'logLength'?: (number);
  'logReleased'?: (boolean);
  'accepted'?: (Buffer);
  'events'?: (_intervene_v1_JobEvents__Output);
  'sealedOutputs'?: (_intervene_v1_SealedOutput__Output)[];
}
