// Original file: proto/intervene/v1/agent.proto


export interface OpenTerminal {
  'jobId'?: (string);
  'attachment'?: (string);
}

export interface OpenTerminal__Output {
  'jobId'?: (string);
  'attachment'?: (string);
}
