import { createAccountsService } from './accounts/accounts-service.ts';
import type { AccountsService } from './accounts/accounts-service.ts';
import { createAuditService } from './audit/audit-service.ts';
import type { AuditService } from './audit/audit-service.ts';
import { createGrantsService } from './authorizations/grants-service.ts';
import type { GrantsService } from './authorizations/grants-service.ts';
import { createRevocationsService } from './authorizations/revocations-service.ts';
import type { RevocationsService } from './authorizations/revocations-service.ts';
import { createTrustService } from './authorizations/trust-service.ts';
import type { TrustService } from './authorizations/trust-service.ts';
import type { Bus } from './cluster/bus.ts';
import type { Database } from './database/database.ts';
import { createCredentialsService } from './credentials/credentials-service.ts';
import type { CredentialsService } from './credentials/credentials-service.ts';
import { createInterventionsService } from './interventions/interventions-service.ts';
import type { InterventionsService } from './interventions/interventions-service.ts';
import { createServersService } from './servers/servers-service.ts';
import type { ServersService } from './servers/servers-service.ts';

/** The domains that need nothing but the database and the bus. */
export interface Services {
  accounts: AccountsService;
  servers: ServersService;
  trust: TrustService;
  grants: GrantsService;
  revocations: RevocationsService;
  credentials: CredentialsService;
  interventions: InterventionsService;
  audit: AuditService;
}

export function createServices(database: Database, bus: Bus): Services {
  const accounts = createAccountsService(database);
  const servers = createServersService(database, accounts);
  const grants = createGrantsService({ database, bus, servers });
  const credentials = createCredentialsService(database);
  const interventions = createInterventionsService(database, servers);
  return {
    accounts,
    servers,
    grants,
    credentials,
    interventions,
    trust: createTrustService({ database, bus, accounts }),
    revocations: createRevocationsService({ database, bus, grants, credentials }),
    audit: createAuditService(database, { accounts, interventions }),
  };
}
