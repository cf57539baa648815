import { createRoute, z } from '@hono/zod-openapi';
import { addressOf, tooManyAttempts } from '../http/authentication.ts';
import type { HttpApp } from '../http/environment.ts';
import { pageOf, pageQuery } from '../http/page.ts';
import { createRateLimit, takeTurn } from '../rate-limit.ts';
import {
  bearer,
  errorResponses,
  idParams,
  jsonBody,
  jsonResponse,
  nullableTimeText,
  reference,
  refParams,
  timeText,
} from '../http/route.ts';
import {
  account,
  invitation,
  listOf,
  newToken,
  person,
  role,
  token as tokenBody,
} from '../http/schemas.ts';
import { DomainError } from '../domain-error.ts';
import type { Account } from './account-store.ts';
import type { AccountsService, NewToken } from './accounts-service.ts';
import { nameSchema } from './name.ts';
import type { Person } from './person-store.ts';
import type { Token } from './token-store.ts';

const tags = ['accounts'];
const label = z.string().min(1).max(100).describe('what the token is for');

/** Redeeming guesses at secrets, so an address may fail only now and then. */
const REDEEM_FAILURES = { burst: 10, perMinute: 10 };
/** Tokens that people of one account make; those of the provider count each for themselves. */
const NEW_TOKENS = { burst: 30, perMinute: 10 };

const accountText = (row: Account) => ({ ...row, createdAt: timeText(row.createdAt) });
const personText = (row: Person) => ({ ...row, createdAt: timeText(row.createdAt) });
const tokenText = (row: Token) => ({
  id: row.id,
  label: row.label,
  createdAt: timeText(row.createdAt),
  expiresAt: nullableTimeText(row.expiresAt),
});
const newTokenText = (row: NewToken) => ({
  ...tokenText(row),
  token: row.token,
  person: personText(row.person),
});

export function registerAccountRoutes(app: HttpApp, service: AccountsService): void {
  const redeemFailures = createRateLimit(REDEEM_FAILURES);
  const newTokens = createRateLimit(NEW_TOKENS);

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/invitations/redeem',
      tags,
      summary: 'Turn an invitation into a token, once',
      request: jsonBody(z.strictObject({ invitation: z.string().max(100), label })),
      responses: { ...errorResponses, 201: jsonResponse('the token, shown only now', newToken) },
    }),
    async (c) => {
      const address = addressOf(c);
      if (!redeemFailures.allows(address)) {
        throw tooManyAttempts(redeemFailures.waitSeconds(address));
      }
      const body = c.req.valid('json');
      try {
        return c.json(newTokenText(await service.redeem(body.invitation, body.label)), 201);
      } catch (error) {
        if (error instanceof DomainError && error.code === 'invitation_invalid') {
          redeemFailures.count(address);
        }
        throw error;
      }
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/whoami',
      tags,
      summary: 'The person the token stands for',
      security: bearer,
      responses: { ...errorResponses, 200: jsonResponse('the person', person) },
    }),
    async (c) => c.json(personText(await service.whoAmI(c.get('caller'))), 200),
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/accounts',
      tags,
      summary: 'Accounts the caller may see',
      security: bearer,
      request: { query: pageQuery },
      responses: { ...errorResponses, 200: jsonResponse('by name', listOf(account)) },
    }),
    async (c) => {
      const page = pageOf(c.req.valid('query'));
      const rows = await service.listAccounts(c.get('caller'), page.wanted);
      return c.json(
        page.body(rows.map(accountText), (row) => row.name),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/accounts',
      tags,
      summary: 'Create an account',
      security: bearer,
      request: jsonBody(z.strictObject({ name: nameSchema })),
      responses: { ...errorResponses, 201: jsonResponse('the account', account) },
    }),
    async (c) => {
      const { name } = c.req.valid('json');
      return c.json(accountText(await service.createAccount(c.get('caller'), name)), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/people',
      tags,
      summary: 'People the caller may see',
      security: bearer,
      request: { query: pageQuery },
      responses: { ...errorResponses, 200: jsonResponse('by name', listOf(person)) },
    }),
    async (c) => {
      const page = pageOf(c.req.valid('query'));
      const rows = await service.listPeople(c.get('caller'), page.wanted);
      return c.json(
        page.body(rows.map(personText), (row) => row.name),
        200,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/people',
      tags,
      summary: 'Invite a person',
      security: bearer,
      request: jsonBody(z.strictObject({ name: nameSchema, role, account: reference.nullish() })),
      responses: { ...errorResponses, 201: jsonResponse('shown only now', invitation) },
    }),
    async (c) => {
      const { name, role: wanted, account: of } = c.req.valid('json');
      const made = await service.invite(c.get('caller'), {
        name,
        role: wanted,
        account: of ?? undefined,
      });
      return c.json(
        { ...made, person: personText(made.person), expiresAt: timeText(made.expiresAt) },
        201,
      );
    },
  );

  app.openapi(
    createRoute({
      method: 'delete',
      path: '/api/v1/people/{ref}',
      tags,
      summary: 'Remove a person and end their tokens',
      security: bearer,
      request: { params: refParams },
      responses: { ...errorResponses, 204: { description: 'removed' } },
    }),
    async (c) => {
      await service.removePerson(c.get('caller'), c.req.valid('param').ref);
      return c.body(null, 204);
    },
  );

  app.openapi(
    createRoute({
      method: 'get',
      path: '/api/v1/tokens',
      tags,
      summary: "The caller's own tokens, without their secrets",
      security: bearer,
      responses: { ...errorResponses, 200: jsonResponse('oldest first', listOf(tokenBody)) },
    }),
    async (c) => {
      const rows = await service.listTokens(c.get('caller'));
      return c.json({ items: rows.map(tokenText), next: null }, 200);
    },
  );

  app.openapi(
    createRoute({
      method: 'post',
      path: '/api/v1/tokens',
      tags,
      summary: 'Make another token for the caller',
      security: bearer,
      request: jsonBody(z.strictObject({ label })),
      responses: { ...errorResponses, 201: jsonResponse('the token, shown only now', newToken) },
    }),
    async (c) => {
      const caller = c.get('caller');
      takeTurn(newTokens, caller.accountId ?? caller.personId, 'tokens');
      const made = await service.createToken(caller, c.req.valid('json').label);
      return c.json(newTokenText(made), 201);
    },
  );

  app.openapi(
    createRoute({
      method: 'delete',
      path: '/api/v1/tokens/{id}',
      tags,
      summary: 'End one of the own tokens',
      security: bearer,
      request: { params: idParams },
      responses: { ...errorResponses, 204: { description: 'ended' } },
    }),
    async (c) => {
      await service.revokeToken(c.get('caller'), c.req.valid('param').id);
      return c.body(null, 204);
    },
  );
}
