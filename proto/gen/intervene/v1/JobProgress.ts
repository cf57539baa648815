// Original file: proto/intervene/v1/agent.proto


export interface JobProgress {
  'jobId'?: (string);
  'phase'?: (string);
  'percent'?: (number | string);
  'text'?: (string);
  '_percent'?: "percent";
}

export interface JobProgress__Output {
  'jobId'?: (string);
  'phase'?: (string);
  'percent'?: (number);
  'text'?: (string);
  '_percent'?: "percent";
}
