// Original file: proto/intervene/v1/agent.proto

import type { Facts as _intervene_v1_Facts, Facts__Output as _intervene_v1_Facts__Output } from '../../intervene/v1/Facts.ts';
import type { ActionVersion as _intervene_v1_ActionVersion, ActionVersion__Output as _intervene_v1_ActionVersion__Output } from '../../intervene/v1/ActionVersion.ts';

export interface Hello {
  'facts'?: (_intervene_v1_Facts | null);
  'mode'?: (string);
  'documentTypes'?: (string)[];
  'actions'?: (_intervene_v1_ActionVersion)[];
  'knownJobs'?: (string)[];
  'bootId'?: (string);
  'locked'?: (boolean);
  'ageRecipient'?: (string);
}

export interface Hello__Output {
  'facts'?: (_intervene_v1_Facts__Output);
  'mode'?: (string);
  'documentTypes'?: (string)[];
  'actions'?: (_intervene_v1_ActionVersion__Output)[];
  'knownJobs'?: (string)[];
  'bootId'?: (string);
  'locked'?: (boolean);
  'ageRecipient'?: (string);
}
