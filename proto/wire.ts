import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { fileURLToPath } from 'node:url';
import type { ProtoGrpcType } from './gen/agent.ts';

/**
 * The service definition both sides use, loaded once with one set of options: camelCase names, 64-bit
 * integers as JS numbers (offsets stay below 2^53), enums as names, absent fields as defaults.
 */
const definition = loadSync(fileURLToPath(new URL('./intervene/v1/agent.proto', import.meta.url)), {
  longs: Number,
  enums: String,
  defaults: true,
  arrays: true,
  oneofs: true,
});

const loaded = grpc.loadPackageDefinition(definition) as unknown as ProtoGrpcType;

export const agentService = loaded.intervene.v1.AgentService.service;
export const AgentServiceClient = loaded.intervene.v1.AgentService;

/** The name in the control plane's certificate; agents check it instead of the address they dialled. */
export const CONTROL_PLANE_NAME = 'control-plane.intervene.internal';

/** Limits that hold on both sides of the wire. */
export const wireLimits = {
  messageBytes: 256 * 1024,
  headerBytes: 16 * 1024,
  streamsPerConnection: 32,
  keepaliveMs: 10_000,
  /** The control plane's pauses on a session are no longer; two of them fit in the agent's patience. */
  heartbeatMs: 6_000,
  keepaliveTimeoutMs: 5_000,
  handshakeMs: 5_000,
  firstMessageMs: 5_000,
  /**
   * Encoded bytes of one log chunk before compression. Each has a compression, a message and a row of its own;
   * at 16 KiB those took three times the processor time of the bytes themselves.
   */
  chunkBytes: 64 * 1024,
  /** A session without a word for this long is half-open. */
  silenceMs: 15_000,
  /** After this long without a word from the control plane the agent starts nothing new. */
  leaseMs: 60_000,
  /** An agent silent for this long is shown as unreachable. */
  unreachableMs: 45_000,
} as const;

export type * from './gen/intervene/v1/AgentService.ts';
export type { ConnectRequest, ConnectRequest__Output } from './gen/intervene/v1/ConnectRequest.ts';
export type {
  ConnectResponse,
  ConnectResponse__Output,
} from './gen/intervene/v1/ConnectResponse.ts';
export type { EnrollRequest, EnrollRequest__Output } from './gen/intervene/v1/EnrollRequest.ts';
export type { EnrollResponse, EnrollResponse__Output } from './gen/intervene/v1/EnrollResponse.ts';
export type { Facts, Facts__Output } from './gen/intervene/v1/Facts.ts';
export type { GivenSecret } from './gen/intervene/v1/GivenSecret.ts';
export type { Hello, Hello__Output } from './gen/intervene/v1/Hello.ts';
export type { JobDelivery, JobDelivery__Output } from './gen/intervene/v1/JobDelivery.ts';
export type { JobEnded, JobEnded__Output } from './gen/intervene/v1/JobEnded.ts';
export type { JobEvents, JobEvents__Output } from './gen/intervene/v1/JobEvents.ts';
export type { JobPosition, JobPosition__Output } from './gen/intervene/v1/JobPosition.ts';
export type { JobProgress, JobProgress__Output } from './gen/intervene/v1/JobProgress.ts';
export type { JobReceipt, JobReceipt__Output } from './gen/intervene/v1/JobReceipt.ts';
export type { LogChunk, LogChunk__Output } from './gen/intervene/v1/LogChunk.ts';
export type { RenewRequest, RenewRequest__Output } from './gen/intervene/v1/RenewRequest.ts';
export type { RenewResponse, RenewResponse__Output } from './gen/intervene/v1/RenewResponse.ts';
export type { OpenTerminal } from './gen/intervene/v1/OpenTerminal.ts';
export type { SealedOutput, SealedOutput__Output } from './gen/intervene/v1/SealedOutput.ts';
export type {
  TerminalRequest,
  TerminalRequest__Output,
} from './gen/intervene/v1/TerminalRequest.ts';
export type {
  TerminalResponse,
  TerminalResponse__Output,
} from './gen/intervene/v1/TerminalResponse.ts';
export type {
  UploadLogRequest,
  UploadLogRequest__Output,
} from './gen/intervene/v1/UploadLogRequest.ts';
export type {
  UploadLogResponse,
  UploadLogResponse__Output,
} from './gen/intervene/v1/UploadLogResponse.ts';
export type { Welcome, Welcome__Output } from './gen/intervene/v1/Welcome.ts';
