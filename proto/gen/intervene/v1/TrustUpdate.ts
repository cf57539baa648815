// Original file: proto/intervene/v1/agent.proto


export interface TrustUpdate {
  'rootChain'?: (Buffer | Uint8Array | string)[];
  'accountKeys'?: (Buffer | Uint8Array | string)[];
}

export interface TrustUpdate__Output {
  'rootChain'?: (Buffer)[];
  'accountKeys'?: (Buffer)[];
}
