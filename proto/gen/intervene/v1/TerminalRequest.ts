// Original file: proto/intervene/v1/agent.proto

import type { OpenTerminal as _intervene_v1_OpenTerminal, OpenTerminal__Output as _intervene_v1_OpenTerminal__Output } from '../../intervene/v1/OpenTerminal.ts';

export interface TerminalRequest {
  'attachment'?: (_intervene_v1_OpenTerminal | null);
  'frame'?: (Buffer | Uint8Array | string);
  'body'?: "attachment"|"frame";
}

export interface TerminalRequest__Output {
  'attachment'?: (_intervene_v1_OpenTerminal__Output);
  'frame'?: (Buffer);
  'body'?: "attachment"|"frame";
}
