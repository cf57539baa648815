import type { Subject } from './subject.ts';

/** Who asks. `client` is one of the account that the question is about, `stranger` one of another. */
export const askers = [
  'nobody',
  'client',
  'stranger',
  'engineer',
  'lead',
  'auditor',
  'admin',
] as const;
export type Asker = (typeof askers)[number];

export interface Question {
  /** Of the address: `/api/v1/servers/{ref}`. Left out where there is none. */
  ref?: string;
  query?: string;
  body?: object;
}

export interface Row {
  /** Statuses in the order of `askers`. */
  answers: string;
  /** Makes what is asked about, anew for each asker; nothing for a plain GET. */
  ask?: (subject: Subject, asker: Asker) => Question | Promise<Question>;
}

//                    nobody client stranger engineer lead auditor admin
const forAnybody = '200 200 200 200 200 200 200';
const forEverybody = '401 200 200 200 200 200 200';
const ofAccount = '401 200 404 200 200 200 200';
const changeOfAccount = '401 201 404 201 201 403 201';
const byProvider = '401 403 403 201 201 403 201';
const byAdmin = '401 403 403 403 403 403 201';

const ofServer: Row = { answers: ofAccount, ask: ({ server }) => ({ ref: server }) };
const ofIntervention: Row = {
  answers: ofAccount,
  ask: ({ intervention }) => ({ ref: intervention }),
};
const ofJob: Row = { answers: ofAccount, ask: ({ job }) => ({ ref: job }) };

/**
 * What every route answers to everybody, by its name in the OpenAPI document. Written down here and not
 * computed: a route that is missing fails the test, and so does a row without a route.
 */
export const expectedAnswers: Readonly<Record<string, Row>> = {
  'GET /healthz': { answers: forAnybody },
  'GET /readyz': { answers: forAnybody },
  'GET /metrics': { answers: '401 403 403 200 200 200 200' },
  'GET /api/openapi.json': { answers: forAnybody },
  'GET /install/{file}': { answers: forAnybody, ask: () => ({ ref: 'install.sh' }) },

  'POST /api/v1/invitations/redeem': {
    answers: '201 201 201 201 201 201 201',
    ask: async (subject) => ({ body: { invitation: await subject.invitation(), label: 'x' } }),
  },
  'GET /api/v1/whoami': { answers: forEverybody },
  'GET /api/v1/accounts': { answers: forEverybody },
  'POST /api/v1/accounts': { answers: byAdmin, ask: ({ name }) => ({ body: { name: name() } }) },
  'GET /api/v1/people': { answers: forEverybody },
  'POST /api/v1/people': {
    answers: byAdmin,
    ask: ({ name, account }) => ({ body: { name: name(), role: 'client', account } }),
  },
  'DELETE /api/v1/people/{ref}': {
    answers: '401 403 403 403 403 403 204',
    ask: async (subject) => ({ ref: await subject.person() }),
  },
  'GET /api/v1/tokens': { answers: forEverybody },
  'POST /api/v1/tokens': {
    answers: '401 201 201 201 201 201 201',
    ask: () => ({ body: { label: 'x' } }),
  },
  // One of the client's.
  'DELETE /api/v1/tokens/{id}': {
    answers: '401 204 404 404 404 404 404',
    ask: async (subject) => ({ ref: await subject.token() }),
  },

  'GET /api/v1/servers': { answers: forEverybody },
  'POST /api/v1/servers': {
    answers: changeOfAccount,
    ask: ({ name, account }) => ({ body: { name: name(), account } }),
  },
  'GET /api/v1/servers/{ref}': ofServer,
  'POST /api/v1/servers/{ref}/enrollments': {
    answers: changeOfAccount,
    ask: async (subject) => ({ ref: await subject.newServer(), body: { mode: 'resident' } }),
  },
  // Its agent is resident.
  'POST /api/v1/servers/{ref}/identity': {
    answers: '401 403 403 409 409 403 403',
    ask: ({ server }) => ({
      ref: server,
      body: { serial: 'S', macAddresses: [], hostname: 'h' },
    }),
  },
  'GET /api/v1/agents': { answers: forEverybody },

  'GET /api/v1/trust/root': { answers: forEverybody },
  'POST /api/v1/trust/root': { answers: byAdmin, ask: ({ root }) => ({ body: root }) },
  'GET /api/v1/trust/certifications': { answers: forEverybody },
  'POST /api/v1/trust/certifications': {
    answers: byProvider,
    ask: ({ certification }) => ({ body: certification }),
  },
  'GET /api/v1/accounts/{ref}/keys': {
    answers: ofAccount,
    ask: ({ account }) => ({ ref: account }),
  },
  'POST /api/v1/accounts/{ref}/keys': {
    answers: '401 201 404 403 403 403 403',
    ask: ({ account, accountKeys }) => ({ ref: account, body: accountKeys }),
  },
  'GET /api/v1/grants': { answers: forEverybody },
  // Another client's key signs nothing for this account; engineers sign attestations, not grants.
  'POST /api/v1/grants': {
    answers: '401 201 400 403 403 403 403',
    ask: (subject) => ({ body: subject.signedGrant() }),
  },
  'GET /api/v1/grants/{ref}': { answers: ofAccount, ask: ({ grant }) => ({ ref: grant }) },
  'POST /api/v1/revocations': {
    answers: changeOfAccount,
    ask: async (subject) => ({ body: { grant: await subject.newGrant() } }),
  },

  'GET /api/v1/credentials': { answers: forEverybody },
  'POST /api/v1/credentials': {
    answers: '401 201 400 403 403 403 403',
    ask: (subject) => ({ body: subject.signedCredential() }),
  },
  'GET /api/v1/credentials/{ref}': {
    answers: ofAccount,
    ask: async (subject) => ({ ref: await subject.newCredential() }),
  },
  // That there is a secret everybody may see; what it is only the client, sealed as it is.
  'GET /api/v1/credentials/{ref}/sealed': {
    answers: '401 200 404 403 403 403 403',
    ask: async (subject) => ({ ref: await subject.newMadeCredential() }),
  },
  'POST /api/v1/credentials/{ref}/opened': {
    answers: '401 200 404 403 403 403 403',
    ask: async (subject) => ({ ref: await subject.newMadeCredential() }),
  },

  'GET /api/v1/interventions': { answers: forEverybody },
  'POST /api/v1/interventions': {
    answers: byProvider,
    ask: ({ name, server }) => ({ body: { server, ticket: name() } }),
  },
  'GET /api/v1/interventions/{ref}': ofIntervention,
  'POST /api/v1/interventions/{ref}/close': {
    answers: '401 403 403 200 200 403 200',
    ask: async (subject) => ({ ref: await subject.newIntervention(), body: {} }),
  },
  'GET /api/v1/interventions/{ref}/pack': ofIntervention,

  'GET /api/v1/jobs': { answers: forEverybody },
  'POST /api/v1/jobs': {
    answers: '401 403 403 201 201 403 403',
    ask: (subject, asker) => ({ body: subject.order(asker) }),
  },
  'GET /api/v1/jobs/{ref}': ofJob,
  'POST /api/v1/jobs/{ref}/cancel': {
    answers: '401 200 404 200 200 403 200',
    ask: async (subject) => ({ ref: await subject.newJob('queued'), body: { mode: 'now' } }),
  },
  // The engineer's own order.
  'POST /api/v1/jobs/{ref}/approve': {
    answers: '401 403 403 409 200 403 403',
    ask: (subject, asker) => subject.proposal(asker),
  },
  'POST /api/v1/jobs/{ref}/take-over': {
    answers: '401 403 403 403 200 403 403',
    ask: async (subject) => ({ ref: await subject.newJob('queued') }),
  },
  'POST /api/v1/jobs/{ref}/abandon': {
    answers: '401 403 403 200 200 403 200',
    ask: async (subject) => ({ ref: await subject.newJob('delivered') }),
  },
  'GET /api/v1/jobs/{ref}/documents': ofJob,
  'GET /api/v1/jobs/{ref}/events': ofJob,
  'GET /api/v1/jobs/{ref}/log': ofJob,
  // Not without asking for a WebSocket.
  'GET /api/v1/jobs/{ref}/terminal': {
    answers: '401 403 403 400 400 403 403',
    ask: ({ job }) => ({ ref: job }),
  },

  'GET /api/v1/audit': { answers: forEverybody },
  'GET /api/v1/actions': { answers: forEverybody },
};
