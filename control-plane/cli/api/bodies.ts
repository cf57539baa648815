import type { z } from 'zod';
import type * as schemas from '../../http/schemas.ts';

/** Bodies of the REST interface as this client reads them: types alone, the schemas are not loaded. */
export type AccountBody = z.output<typeof schemas.account>;
export type PersonBody = z.output<typeof schemas.person>;
export type InvitationBody = z.output<typeof schemas.invitation>;
export type NewTokenBody = z.output<typeof schemas.newToken>;
export type AgentBody = z.output<typeof schemas.agent>;
export type ServerBody = z.output<typeof schemas.server>;
export type EnrollmentBody = z.output<typeof schemas.enrollment>;
export type DocumentBody = z.output<typeof schemas.document>;
export type GrantBody = z.output<typeof schemas.grant>;
export type InterventionBody = z.output<typeof schemas.intervention>;
export type JobBody = z.output<typeof schemas.job>;
export type CredentialBody = z.output<typeof schemas.credential>;
export type SealedCredentialBody = z.output<typeof schemas.sealedCredential>;
export type JobEventBody = z.output<typeof schemas.jobEvent>;
export type JobDocumentsBody = z.output<typeof schemas.jobDocuments>;
export type PackBody = z.output<typeof schemas.pack>;
export type ActionBody = z.output<typeof schemas.actionBody>;
