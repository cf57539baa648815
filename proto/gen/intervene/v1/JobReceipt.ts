// Original file: proto/intervene/v1/agent.proto


export interface JobReceipt {
  'jobId'?: (string);
  'receipt'?: (Buffer | Uint8Array | string);
}

export interface JobReceipt__Output {
  'jobId'?: (string);
  'receipt'?: (Buffer);
}
