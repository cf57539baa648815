import { z } from '@hono/zod-openapi';
import { errorBody } from './schemas.ts';
import { findUnshowable, findUnshowableInDocument } from './showable.ts';
import type { Unshowable } from './showable.ts';

/** Pieces that route declarations share. */

const failure = (description: string) => ({
  description,
  content: { 'application/json': { schema: errorBody } },
});

/** Every route may answer these; their bodies are one schema. */
export const errorResponses = {
  400: failure('the request is not one that can be carried out'),
  401: failure('no valid token'),
  403: failure('this person may not do this'),
  404: failure('does not exist, or is not visible to this person'),
  409: failure('cannot be done now'),
  413: failure('the request is too large'),
  429: failure('too many attempts; see Retry-After'),
  503: failure('cannot be done for a moment; see Retry-After'),
} as const;

export function jsonResponse<T extends z.ZodType>(description: string, schema: T) {
  return { description, content: { 'application/json': { schema } } } as const;
}

/** A body whose texts must be ones that can be stored and shown. */
export function jsonBody<T extends z.ZodType>(schema: T) {
  const checked: T = schema.superRefine(refuse(findUnshowable));
  return {
    body: { content: { 'application/json': { schema: checked } }, required: true },
  } as const;
}

function refuse<T>(find: (value: T) => Unshowable | null) {
  return (value: T, context: z.RefinementCtx): void => {
    const found = find(value);
    if (found === null) return;
    context.addIssue({ code: 'custom', path: found.path, message: found.why });
  };
}

/** A number, a name, a full id, or the end of an id that fits only one. */
export const reference = z.string().min(1).max(255);
export const refParams = z.object({ ref: reference });
export const idParams = z.object({ id: z.uuid() });

export const bearer = [{ bearer: [] as string[] }];

/** RFC 3339 in UTC with milliseconds, as every body has it. */
export function timeText(at: Date): string {
  return at.toISOString();
}
export function nullableTimeText(at: Date | null): string | null {
  return at === null ? null : at.toISOString();
}

export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
}
export function nullableBase64(bytes: Uint8Array | null): string | null {
  return bytes === null ? null : base64(bytes);
}

/** An envelope as it comes in a body, whose own texts can be shown too; `c.req.valid` gives its bytes. */
export const envelopeBody = z
  .base64()
  .max(131_072)
  .openapi({ description: 'a DSSE envelope, base64' })
  .transform((text) => Buffer.from(text, 'base64') as Uint8Array)
  .superRefine(refuse(findUnshowableInDocument));
