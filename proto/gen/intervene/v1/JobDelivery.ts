// Original file: proto/intervene/v1/agent.proto


export interface JobDelivery {
  'jobId'?: (string);
  'order'?: (Buffer | Uint8Array | string);
  'authorization'?: (Buffer | Uint8Array | string);
  'certifications'?: (Buffer | Uint8Array | string)[];
  'plan'?: (Buffer | Uint8Array | string);
  'auditHead'?: (string);
}

export interface JobDelivery__Output {
  'jobId'?: (string);
  'order'?: (Buffer);
  'authorization'?: (Buffer);
  'certifications'?: (Buffer)[];
  'plan'?: (Buffer);
  'auditHead'?: (string);
}
