// Original file: proto/intervene/v1/agent.proto


export interface Drain {
  'reconnectAfterMs'?: (number);
}

export interface Drain__Output {
  'reconnectAfterMs'?: (number);
}
