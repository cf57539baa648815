// Original file: proto/intervene/v1/agent.proto


export interface RenewRequest {
  'certificateRequest'?: (Buffer | Uint8Array | string);
}

export interface RenewRequest__Output {
  'certificateRequest'?: (Buffer);
}
