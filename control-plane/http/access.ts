import type { Role } from './schemas.ts';

/**
 * Who may call a route: nobody needs a token where it is `public`; `local` also lets in callers on this
 * machine without one. What a person sees of it is the domain's to decide, by their account.
 */
export type Access = 'public' | 'local' | readonly Role[];

const everyone = ['client', 'engineer', 'lead', 'auditor', 'admin'] as const;
/** All but auditors, who change nothing but their own tokens. */
const actors = ['client', 'engineer', 'lead', 'admin'] as const;
const provider = ['engineer', 'lead', 'admin'] as const;
const engineer = ['engineer', 'lead'] as const;
const lead = ['lead'] as const;
const admin = ['admin'] as const;
const client = ['client'] as const;
/** Who may see what a `local` route shows, from elsewhere. */
export const operators = ['engineer', 'lead', 'auditor', 'admin'] as const;

/**
 * The only place that says so. A route without a row answers 403 to everybody; a test demands a row for
 * every route, and a route for every row.
 */
export const access: Readonly<Record<string, Access>> = {
  'GET /healthz': 'public',
  'GET /readyz': 'public',
  'GET /metrics': 'local',
  'GET /api/openapi.json': 'public',
  'GET /install/:file': 'public',

  'POST /api/v1/invitations/redeem': 'public',
  'GET /api/v1/whoami': everyone,
  'GET /api/v1/accounts': everyone,
  'POST /api/v1/accounts': admin,
  'GET /api/v1/people': everyone,
  'POST /api/v1/people': admin,
  'DELETE /api/v1/people/:ref': admin,
  'GET /api/v1/tokens': everyone,
  'POST /api/v1/tokens': everyone,
  'DELETE /api/v1/tokens/:id': everyone,

  'GET /api/v1/servers': everyone,
  'POST /api/v1/servers': actors,
  'GET /api/v1/servers/:ref': everyone,
  'POST /api/v1/servers/:ref/enrollments': actors,
  'POST /api/v1/servers/:ref/identity': engineer,
  'GET /api/v1/agents': everyone,

  'GET /api/v1/trust/root': everyone,
  'POST /api/v1/trust/root': admin,
  'GET /api/v1/trust/certifications': everyone,
  'POST /api/v1/trust/certifications': provider,
  'GET /api/v1/accounts/:ref/keys': everyone,
  'POST /api/v1/accounts/:ref/keys': client,
  'GET /api/v1/grants': everyone,
  'POST /api/v1/grants': ['client', ...engineer],
  'GET /api/v1/grants/:ref': everyone,
  'POST /api/v1/revocations': actors,

  'GET /api/v1/credentials': everyone,
  'POST /api/v1/credentials': client,
  'GET /api/v1/credentials/:ref': everyone,
  'GET /api/v1/credentials/:ref/sealed': client,
  'POST /api/v1/credentials/:ref/opened': client,

  'GET /api/v1/interventions': everyone,
  'POST /api/v1/interventions': provider,
  'GET /api/v1/interventions/:ref': everyone,
  'POST /api/v1/interventions/:ref/close': provider,
  'GET /api/v1/interventions/:ref/pack': everyone,

  'GET /api/v1/jobs': everyone,
  'POST /api/v1/jobs': engineer,
  'GET /api/v1/jobs/:ref': everyone,
  'POST /api/v1/jobs/:ref/cancel': actors,
  'POST /api/v1/jobs/:ref/abandon': provider,
  'POST /api/v1/jobs/:ref/approve': engineer,
  'POST /api/v1/jobs/:ref/take-over': lead,
  'GET /api/v1/jobs/:ref/documents': everyone,
  'GET /api/v1/jobs/:ref/events': everyone,
  'GET /api/v1/jobs/:ref/log': everyone,
  'GET /api/v1/jobs/:ref/terminal': engineer,

  'GET /api/v1/audit': everyone,
  'GET /api/v1/actions': everyone,
};

export function accessTo(method: string, path: string): Access | undefined {
  return access[`${method === 'HEAD' ? 'GET' : method} ${path}`];
}
