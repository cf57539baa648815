// Original file: proto/intervene/v1/agent.proto


export interface GivenSecret {
  'document'?: (Buffer | Uint8Array | string);
  'sealed'?: (Buffer | Uint8Array | string);
}

export interface GivenSecret__Output {
  'document'?: (Buffer);
  'sealed'?: (Buffer);
}
