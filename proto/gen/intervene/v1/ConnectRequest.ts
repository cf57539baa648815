// Original file: proto/intervene/v1/agent.proto

import type { Hello as _intervene_v1_Hello, Hello__Output as _intervene_v1_Hello__Output } from '../../intervene/v1/Hello.ts';
import type { Heartbeat as _intervene_v1_Heartbeat, Heartbeat__Output as _intervene_v1_Heartbeat__Output } from '../../intervene/v1/Heartbeat.ts';
import type { JobReceipt as _intervene_v1_JobReceipt, JobReceipt__Output as _intervene_v1_JobReceipt__Output } from '../../intervene/v1/JobReceipt.ts';
import type { JobEvents as _intervene_v1_JobEvents, JobEvents__Output as _intervene_v1_JobEvents__Output } from '../../intervene/v1/JobEvents.ts';
import type { JobProgress as _intervene_v1_JobProgress, JobProgress__Output as _intervene_v1_JobProgress__Output } from '../../intervene/v1/JobProgress.ts';
import type { JobEnded as _intervene_v1_JobEnded, JobEnded__Output as _intervene_v1_JobEnded__Output } from '../../intervene/v1/JobEnded.ts';

export interface ConnectRequest {
  'hello'?: (_intervene_v1_Hello | null);
  'heartbeat'?: (_intervene_v1_Heartbeat | null);
  'receipt'?: (_intervene_v1_JobReceipt | null);
  'events'?: (_intervene_v1_JobEvents | null);
  'progress'?: (_intervene_v1_JobProgress | null);
  'ended'?: (_intervene_v1_JobEnded | null);
  'body'?: "hello"|"heartbeat"|"receipt"|"events"|"progress"|"ended";
}

export interface ConnectRequest__Output {
  'hello'?: (_intervene_v1_Hello__Output);
  'heartbeat'?: (_intervene_v1_Heartbeat__Output);
  'receipt'?: (_intervene_v1_JobReceipt__Output);
  'events'?: (_intervene_v1_JobEvents__Output);
  'progress'?: (_intervene_v1_JobProgress__Output);
  'ended'?: (_intervene_v1_JobEnded__Output);
  'body'?: "hello"|"heartbeat"|"receipt"|"events"|"progress"|"ended";
}
