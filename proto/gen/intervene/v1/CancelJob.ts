// Original file: proto/intervene/v1/agent.proto


export interface CancelJob {
  'jobId'?: (string);
  'mode'?: (string);
}

export interface CancelJob__Output {
  'jobId'?: (string);
  'mode'?: (string);
}
