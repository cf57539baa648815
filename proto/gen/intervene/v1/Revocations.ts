// Original file: proto/intervene/v1/agent.proto


export interface Revocations {
  'ids'?: (string)[];
  'documents'?: (Buffer | Uint8Array | string)[];
  'certifications'?: (Buffer | Uint8Array | string)[];
}

export interface Revocations__Output {
  'ids'?: (string)[];
  'documents'?: (Buffer)[];
  'certifications'?: (Buffer)[];
}
