import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { Acknowledgement as _intervene_v1_Acknowledgement, Acknowledgement__Output as _intervene_v1_Acknowledgement__Output } from './intervene/v1/Acknowledgement.ts';
import type { ActionVersion as _intervene_v1_ActionVersion, ActionVersion__Output as _intervene_v1_ActionVersion__Output } from './intervene/v1/ActionVersion.ts';
import type { AgentServiceClient as _intervene_v1_AgentServiceClient, AgentServiceDefinition as _intervene_v1_AgentServiceDefinition } from './intervene/v1/AgentService.ts';
import type { CancelJob as _intervene_v1_CancelJob, CancelJob__Output as _intervene_v1_CancelJob__Output } from './intervene/v1/CancelJob.ts';
import type { ConnectRequest as _intervene_v1_ConnectRequest, ConnectRequest__Output as _intervene_v1_ConnectRequest__Output } from './intervene/v1/ConnectRequest.ts';
import type { ConnectResponse as _intervene_v1_ConnectResponse, ConnectResponse__Output as _intervene_v1_ConnectResponse__Output } from './intervene/v1/ConnectResponse.ts';
import type { Drain as _intervene_v1_Drain, Drain__Output as _intervene_v1_Drain__Output } from './intervene/v1/Drain.ts';
import type { EnrollRequest as _intervene_v1_EnrollRequest, EnrollRequest__Output as _intervene_v1_EnrollRequest__Output } from './intervene/v1/EnrollRequest.ts';
import type { EnrollResponse as _intervene_v1_EnrollResponse, EnrollResponse__Output as _intervene_v1_EnrollResponse__Output } from './intervene/v1/EnrollResponse.ts';
import type { Facts as _intervene_v1_Facts, Facts__Output as _intervene_v1_Facts__Output } from './intervene/v1/Facts.ts';
import type { GivenSecret as _intervene_v1_GivenSecret, GivenSecret__Output as _intervene_v1_GivenSecret__Output } from './intervene/v1/GivenSecret.ts';
import type { Heartbeat as _intervene_v1_Heartbeat, Heartbeat__Output as _intervene_v1_Heartbeat__Output } from './intervene/v1/Heartbeat.ts';
import type { Hello as _intervene_v1_Hello, Hello__Output as _intervene_v1_Hello__Output } from './intervene/v1/Hello.ts';
import type { JobDelivery as _intervene_v1_JobDelivery, JobDelivery__Output as _intervene_v1_JobDelivery__Output } from './intervene/v1/JobDelivery.ts';
import type { JobEnded as _intervene_v1_JobEnded, JobEnded__Output as _intervene_v1_JobEnded__Output } from './intervene/v1/JobEnded.ts';
import type { JobEvents as _intervene_v1_JobEvents, JobEvents__Output as _intervene_v1_JobEvents__Output } from './intervene/v1/JobEvents.ts';
import type { JobPosition as _intervene_v1_JobPosition, JobPosition__Output as _intervene_v1_JobPosition__Output } from './intervene/v1/JobPosition.ts';
import type { JobProgress as _intervene_v1_JobProgress, JobProgress__Output as _intervene_v1_JobProgress__Output } from './intervene/v1/JobProgress.ts';
import type { JobReceipt as _intervene_v1_JobReceipt, JobReceipt__Output as _intervene_v1_JobReceipt__Output } from './intervene/v1/JobReceipt.ts';
import type { LogChunk as _intervene_v1_LogChunk, LogChunk__Output as _intervene_v1_LogChunk__Output } from './intervene/v1/LogChunk.ts';
import type { OpenTerminal as _intervene_v1_OpenTerminal, OpenTerminal__Output as _intervene_v1_OpenTerminal__Output } from './intervene/v1/OpenTerminal.ts';
import type { RenewRequest as _intervene_v1_RenewRequest, RenewRequest__Output as _intervene_v1_RenewRequest__Output } from './intervene/v1/RenewRequest.ts';
import type { RenewResponse as _intervene_v1_RenewResponse, RenewResponse__Output as _intervene_v1_RenewResponse__Output } from './intervene/v1/RenewResponse.ts';
import type { Revocations as _intervene_v1_Revocations, Revocations__Output as _intervene_v1_Revocations__Output } from './intervene/v1/Revocations.ts';
import type { SealedOutput as _intervene_v1_SealedOutput, SealedOutput__Output as _intervene_v1_SealedOutput__Output } from './intervene/v1/SealedOutput.ts';
import type { TerminalRequest as _intervene_v1_TerminalRequest, TerminalRequest__Output as _intervene_v1_TerminalRequest__Output } from './intervene/v1/TerminalRequest.ts';
import type { TerminalResponse as _intervene_v1_TerminalResponse, TerminalResponse__Output as _intervene_v1_TerminalResponse__Output } from './intervene/v1/TerminalResponse.ts';
import type { TrustUpdate as _intervene_v1_TrustUpdate, TrustUpdate__Output as _intervene_v1_TrustUpdate__Output } from './intervene/v1/TrustUpdate.ts';
import type { UploadLogRequest as _intervene_v1_UploadLogRequest, UploadLogRequest__Output as _intervene_v1_UploadLogRequest__Output } from './intervene/v1/UploadLogRequest.ts';
import type { UploadLogResponse as _intervene_v1_UploadLogResponse, UploadLogResponse__Output as _intervene_v1_UploadLogResponse__Output } from './intervene/v1/UploadLogResponse.ts';
import type { Welcome as _intervene_v1_Welcome, Welcome__Output as _intervene_v1_Welcome__Output } from './intervene/v1/Welcome.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  intervene: {
    v1: {
      Acknowledgement: MessageTypeDefinition<_intervene_v1_Acknowledgement, _intervene_v1_Acknowledgement__Output>
      ActionVersion: MessageTypeDefinition<_intervene_v1_ActionVersion, _intervene_v1_ActionVersion__Output>
      AgentService: SubtypeConstructor<typeof grpc.Client, _intervene_v1_AgentServiceClient> & { service: _intervene_v1_AgentServiceDefinition }
      CancelJob: MessageTypeDefinition<_intervene_v1_CancelJob, _intervene_v1_CancelJob__Output>
      ConnectRequest: MessageTypeDefinition<_intervene_v1_ConnectRequest, _intervene_v1_ConnectRequest__Output>
      ConnectResponse: MessageTypeDefinition<_intervene_v1_ConnectResponse, _intervene_v1_ConnectResponse__Output>
      Drain: MessageTypeDefinition<_intervene_v1_Drain, _intervene_v1_Drain__Output>
      EnrollRequest: MessageTypeDefinition<_intervene_v1_EnrollRequest, _intervene_v1_EnrollRequest__Output>
      EnrollResponse: MessageTypeDefinition<_intervene_v1_EnrollResponse, _intervene_v1_EnrollResponse__Output>
      Facts: MessageTypeDefinition<_intervene_v1_Facts, _intervene_v1_Facts__Output>
      GivenSecret: MessageTypeDefinition<_intervene_v1_GivenSecret, _intervene_v1_GivenSecret__Output>
      Heartbeat: MessageTypeDefinition<_intervene_v1_Heartbeat, _intervene_v1_Heartbeat__Output>
      Hello: MessageTypeDefinition<_intervene_v1_Hello, _intervene_v1_Hello__Output>
      JobDelivery: MessageTypeDefinition<_intervene_v1_JobDelivery, _intervene_v1_JobDelivery__Output>
      JobEnded: MessageTypeDefinition<_intervene_v1_JobEnded, _intervene_v1_JobEnded__Output>
      JobEvents: MessageTypeDefinition<_intervene_v1_JobEvents, _intervene_v1_JobEvents__Output>
      JobPosition: MessageTypeDefinition<_intervene_v1_JobPosition, _intervene_v1_JobPosition__Output>
      JobProgress: MessageTypeDefinition<_intervene_v1_JobProgress, _intervene_v1_JobProgress__Output>
      JobReceipt: MessageTypeDefinition<_intervene_v1_JobReceipt, _intervene_v1_JobReceipt__Output>
      LogChunk: MessageTypeDefinition<_intervene_v1_LogChunk, _intervene_v1_LogChunk__Output>
      OpenTerminal: MessageTypeDefinition<_intervene_v1_OpenTerminal, _intervene_v1_OpenTerminal__Output>
      RenewRequest: MessageTypeDefinition<_intervene_v1_RenewRequest, _intervene_v1_RenewRequest__Output>
      RenewResponse: MessageTypeDefinition<_intervene_v1_RenewResponse, _intervene_v1_RenewResponse__Output>
      Revocations: MessageTypeDefinition<_intervene_v1_Revocations, _intervene_v1_Revocations__Output>
      SealedOutput: MessageTypeDefinition<_intervene_v1_SealedOutput, _intervene_v1_SealedOutput__Output>
      TerminalRequest: MessageTypeDefinition<_intervene_v1_TerminalRequest, _intervene_v1_TerminalRequest__Output>
      TerminalResponse: MessageTypeDefinition<_intervene_v1_TerminalResponse, _intervene_v1_TerminalResponse__Output>
      TrustUpdate: MessageTypeDefinition<_intervene_v1_TrustUpdate, _intervene_v1_TrustUpdate__Output>
      UploadLogRequest: MessageTypeDefinition<_intervene_v1_UploadLogRequest, _intervene_v1_UploadLogRequest__Output>
      UploadLogResponse: MessageTypeDefinition<_intervene_v1_UploadLogResponse, _intervene_v1_UploadLogResponse__Output>
      Welcome: MessageTypeDefinition<_intervene_v1_Welcome, _intervene_v1_Welcome__Output>
    }
  }
}

