interface Issue {
  path: readonly PropertyKey[];
  message: string;
}

/** What a ZodError found, one sentence for each; null for every other error. Told by its name: zod is not loaded for it. */
export function issueSentences(error: unknown): string | null {
  if (!(error instanceof Error) || error.name !== 'ZodError') return null;
  const { issues } = error as { issues?: unknown };
  if (!Array.isArray(issues)) return null;
  return (issues as readonly Issue[])
    .map(({ path, message }) => {
      const where = path.map(String).join('.');
      return `${where === '' ? '' : `${where}: `}${message}.`;
    })
    .join(' ');
}
