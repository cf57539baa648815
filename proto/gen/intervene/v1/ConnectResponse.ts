// Original file: proto/intervene/v1/agent.proto

import type { Welcome as _intervene_v1_Welcome, Welcome__Output as _intervene_v1_Welcome__Output } from '../../intervene/v1/Welcome.ts';
import type { JobDelivery as _intervene_v1_JobDelivery, JobDelivery__Output as _intervene_v1_JobDelivery__Output } from '../../intervene/v1/JobDelivery.ts';
import type { CancelJob as _intervene_v1_CancelJob, CancelJob__Output as _intervene_v1_CancelJob__Output } from '../../intervene/v1/CancelJob.ts';
import type { Revocations as _intervene_v1_Revocations, Revocations__Output as _intervene_v1_Revocations__Output } from '../../intervene/v1/Revocations.ts';
import type { Acknowledgement as _intervene_v1_Acknowledgement, Acknowledgement__Output as _intervene_v1_Acknowledgement__Output } from '../../intervene/v1/Acknowledgement.ts';
import type { Drain as _intervene_v1_Drain, Drain__Output as _intervene_v1_Drain__Output } from '../../intervene/v1/Drain.ts';
import type { Heartbeat as _intervene_v1_Heartbeat, Heartbeat__Output as _intervene_v1_Heartbeat__Output } from '../../intervene/v1/Heartbeat.ts';
import type { TrustUpdate as _intervene_v1_TrustUpdate, TrustUpdate__Output as _intervene_v1_TrustUpdate__Output } from '../../intervene/v1/TrustUpdate.ts';
import type { OpenTerminal as _intervene_v1_OpenTerminal, OpenTerminal__Output as _intervene_v1_OpenTerminal__Output } from '../../intervene/v1/OpenTerminal.ts';

export interface ConnectResponse {
  'welcome'?: (_intervene_v1_Welcome | null);
  'job'?: (_intervene_v1_JobDelivery | null);
  'cancel'?: (_intervene_v1_CancelJob | null);
  'revocations'?: (_intervene_v1_Revocations | null);
  'acknowledged'?: (_intervene_v1_Acknowledgement | null);
  'drain'?: (_intervene_v1_Drain | null);
  'heartbeat'?: (_intervene_v1_Heartbeat | null);
  'trust'?: (_intervene_v1_TrustUpdate | null);
  'openTerminal'?: (_intervene_v1_OpenTerminal | null);
  'body'?: "welcome"|"job"|"cancel"|"revocations"|"acknowledged"|"drain"|"heartbeat"|"trust"|"openTerminal";
}

export interface ConnectResponse__Output {
  'welcome'?: (_intervene_v1_Welcome__Output);
  'job'?: (_intervene_v1_JobDelivery__Output);
  'cancel'?: (_intervene_v1_CancelJob__Output);
  'revocations'?: (_intervene_v1_Revocations__Output);
  'acknowledged'?: (_intervene_v1_Acknowledgement__Output);
  'drain'?: (_intervene_v1_Drain__Output);
  'heartbeat'?: (_intervene_v1_Heartbeat__Output);
  'trust'?: (_intervene_v1_TrustUpdate__Output);
  'openTerminal'?: (_intervene_v1_OpenTerminal__Output);
  'body'?: "welcome"|"job"|"cancel"|"revocations"|"acknowledged"|"drain"|"heartbeat"|"trust"|"openTerminal";
}
