// Original file: proto/intervene/v1/agent.proto

import type { JobPosition as _intervene_v1_JobPosition, JobPosition__Output as _intervene_v1_JobPosition__Output } from '../../intervene/v1/JobPosition.ts';

export interface Welcome {
  'agentId'?: (string);
  'serverId'?: (string);
  'accountId'?: (string);
  'positions'?: (_intervene_v1_JobPosition)[];
}

export interface Welcome__Output {
  'agentId'?: (string);
  'serverId'?: (string);
  'accountId'?: (string);
  'positions'?: (_intervene_v1_JobPosition__Output)[];
}
