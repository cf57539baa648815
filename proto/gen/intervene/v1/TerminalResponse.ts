// Original file: proto/intervene/v1/agent.proto


export interface TerminalResponse {
  'frame'?: (Buffer | Uint8Array | string);
}

export interface TerminalResponse__Output {
  'frame'?: (Buffer);
}
