// Original file: proto/intervene/v1/agent.proto


export interface Heartbeat {
}

export interface Heartbeat__Output {
}
