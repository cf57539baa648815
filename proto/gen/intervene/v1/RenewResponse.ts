// Original file: proto/intervene/v1/agent.proto


export interface RenewResponse {
  'certificate'?: (Buffer | Uint8Array | string);
}

export interface RenewResponse__Output {
  'certificate'?: (Buffer);
}
