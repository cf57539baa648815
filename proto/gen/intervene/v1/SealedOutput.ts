// Original file: proto/intervene/v1/agent.proto


export interface SealedOutput {
  'name'?: (string);
  'sealed'?: (Buffer | Uint8Array | string);
}

export interface SealedOutput__Output {
  'name'?: (string);
  'sealed'?: (Buffer);
}
