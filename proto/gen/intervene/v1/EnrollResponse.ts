// Original file: proto/intervene/v1/agent.proto


export interface EnrollResponse {
  'agentId'?: (string);
  'serverId'?: (string);
  'accountId'?: (string);
  'certificate'?: (Buffer | Uint8Array | string);
  'rootChain'?: (Buffer | Uint8Array | string)[];
  'accountKeys'?: (Buffer | Uint8Array | string)[];
}

export interface EnrollResponse__Output {
  'agentId'?: (string);
  'serverId'?: (string);
  'accountId'?: (string);
  'certificate'?: (Buffer);
  'rootChain'?: (Buffer)[];
  'accountKeys'?: (Buffer)[];
}
