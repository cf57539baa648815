// Original file: proto/intervene/v1/agent.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { ConnectRequest as _intervene_v1_ConnectRequest, ConnectRequest__Output as _intervene_v1_ConnectRequest__Output } from '../../intervene/v1/ConnectRequest.ts';
import type { ConnectResponse as _intervene_v1_ConnectResponse, ConnectResponse__Output as _intervene_v1_ConnectResponse__Output } from '../../intervene/v1/ConnectResponse.ts';
import type { EnrollRequest as _intervene_v1_EnrollRequest, EnrollRequest__Output as _intervene_v1_EnrollRequest__Output } from '../../intervene/v1/EnrollRequest.ts';
import type { EnrollResponse as _intervene_v1_EnrollResponse, EnrollResponse__Output as _intervene_v1_EnrollResponse__Output } from '../../intervene/v1/EnrollResponse.ts';
import type { RenewRequest as _intervene_v1_RenewRequest, RenewRequest__Output as _intervene_v1_RenewRequest__Output } from '../../intervene/v1/RenewRequest.ts';
import type { RenewResponse as _intervene_v1_RenewResponse, RenewResponse__Output as _intervene_v1_RenewResponse__Output } from '../../intervene/v1/RenewResponse.ts';
import type { TerminalRequest as _intervene_v1_TerminalRequest, TerminalRequest__Output as _intervene_v1_TerminalRequest__Output } from '../../intervene/v1/TerminalRequest.ts';
import type { TerminalResponse as _intervene_v1_TerminalResponse, TerminalResponse__Output as _intervene_v1_TerminalResponse__Output } from '../../intervene/v1/TerminalResponse.ts';
import type { UploadLogRequest as _intervene_v1_UploadLogRequest, UploadLogRequest__Output as _intervene_v1_UploadLogRequest__Output } from '../../intervene/v1/UploadLogRequest.ts';
import type { UploadLogResponse as _intervene_v1_UploadLogResponse, UploadLogResponse__Output as _intervene_v1_UploadLogResponse__Output } from '../../intervene/v1/UploadLogResponse.ts';

export interface AgentServiceClient extends grpc.Client {
  Connect(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_ConnectRequest, _intervene_v1_ConnectResponse__Output>;
  Connect(options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_ConnectRequest, _intervene_v1_ConnectResponse__Output>;
  connect(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_ConnectRequest, _intervene_v1_ConnectResponse__Output>;
  connect(options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_ConnectRequest, _intervene_v1_ConnectResponse__Output>;
  
  Enroll(argument: _intervene_v1_EnrollRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  Enroll(argument: _intervene_v1_EnrollRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  Enroll(argument: _intervene_v1_EnrollRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  Enroll(argument: _intervene_v1_EnrollRequest, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  enroll(argument: _intervene_v1_EnrollRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  enroll(argument: _intervene_v1_EnrollRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  enroll(argument: _intervene_v1_EnrollRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  enroll(argument: _intervene_v1_EnrollRequest, callback: grpc.requestCallback<_intervene_v1_EnrollResponse__Output>): grpc.ClientUnaryCall;
  
  Renew(argument: _intervene_v1_RenewRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  Renew(argument: _intervene_v1_RenewRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  Renew(argument: _intervene_v1_RenewRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  Renew(argument: _intervene_v1_RenewRequest, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  renew(argument: _intervene_v1_RenewRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  renew(argument: _intervene_v1_RenewRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  renew(argument: _intervene_v1_RenewRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  renew(argument: _intervene_v1_RenewRequest, callback: grpc.requestCallback<_intervene_v1_RenewResponse__Output>): grpc.ClientUnaryCall;
  
  Terminal(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_TerminalRequest, _intervene_v1_TerminalResponse__Output>;
  Terminal(options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_TerminalRequest, _intervene_v1_TerminalResponse__Output>;
  terminal(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_TerminalRequest, _intervene_v1_TerminalResponse__Output>;
  terminal(options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_TerminalRequest, _intervene_v1_TerminalResponse__Output>;
  
  UploadLog(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_UploadLogRequest, _intervene_v1_UploadLogResponse__Output>;
  UploadLog(options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_UploadLogRequest, _intervene_v1_UploadLogResponse__Output>;
  uploadLog(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_UploadLogRequest, _intervene_v1_UploadLogResponse__Output>;
  uploadLog(options?: grpc.CallOptions): grpc.ClientDuplexStream<_intervene_v1_UploadLogRequest, _intervene_v1_UploadLogResponse__Output>;
  
}

export interface AgentServiceHandlers extends grpc.UntypedServiceImplementation {
  Connect: grpc.handleBidiStreamingCall<_intervene_v1_ConnectRequest__Output, _intervene_v1_ConnectResponse>;
  
  Enroll: grpc.handleUnaryCall<_intervene_v1_EnrollRequest__Output, _intervene_v1_EnrollResponse>;
  
  Renew: grpc.handleUnaryCall<_intervene_v1_RenewRequest__Output, _intervene_v1_RenewResponse>;
  
  Terminal: grpc.handleBidiStreamingCall<_intervene_v1_TerminalRequest__Output, _intervene_v1_TerminalResponse>;
  
  UploadLog: grpc.handleBidiStreamingCall<_intervene_v1_UploadLogRequest__Output, _intervene_v1_UploadLogResponse>;
  
}

export interface AgentServiceDefinition extends grpc.ServiceDefinition {
  Connect: MethodDefinition<_intervene_v1_ConnectRequest, _intervene_v1_ConnectResponse, _intervene_v1_ConnectRequest__Output, _intervene_v1_ConnectResponse__Output>
  Enroll: MethodDefinition<_intervene_v1_EnrollRequest, _intervene_v1_EnrollResponse, _intervene_v1_EnrollRequest__Output, _intervene_v1_EnrollResponse__Output>
  Renew: MethodDefinition<_intervene_v1_RenewRequest, _intervene_v1_RenewResponse, _intervene_v1_RenewRequest__Output, _intervene_v1_RenewResponse__Output>
  Terminal: MethodDefinition<_intervene_v1_TerminalRequest, _intervene_v1_TerminalResponse, _intervene_v1_TerminalRequest__Output, _intervene_v1_TerminalResponse__Output>
  UploadLog: MethodDefinition<_intervene_v1_UploadLogRequest, _intervene_v1_UploadLogResponse, _intervene_v1_UploadLogRequest__Output, _intervene_v1_UploadLogResponse__Output>
}
