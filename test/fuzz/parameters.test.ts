import { describe, expect, it } from 'vitest';
import { actions } from '../../proto/actions/catalogue.ts';
import { createChance, NASTY_TEXTS, NASTY_VALUES } from './mutation.ts';

const RUNS = 500;
const chance = createChance();

/** Parameters that are text for people or words of a program that nothing else reads, and may be anything. */
const FREE = new Set(['command.run argv']);

/** What would be read as an option, as a second line or not at all. A path may hold line ends, as on disk. */
const isUnsafe = (text: string) =>
  /^-|\0/.test(text) || (!text.startsWith('/') && /[\n\r]/.test(text));

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => [
    ...(Array.isArray(value) ? [] : [key]),
    ...textsIn(inner),
  ]);
}

function nasty(): unknown {
  const text = () => chance.pick(NASTY_TEXTS);
  return chance.pick([
    () => chance.pick(NASTY_VALUES),
    () => `/dev/${text()}`,
    () => `${text()}.service`,
    () => `nginx${text()}`,
    () => `/${text()}${text()}`,
    () => [text()],
    () => ['nginx', text()],
    () => ({ [text()]: text() }),
    () => ({ Service: { [text()]: text() } }),
  ])();
}

const parameters = actions.flatMap((action) =>
  Object.keys(action.parameters.shape).map((name) => ({
    action,
    name,
    id: `${action.id} ${name}`,
  })),
);

describe(`parameters of actions (seed ${chance.seed})`, () => {
  it.each(parameters)(
    '$id takes no text that another program would misread',
    ({ action, name, id }) => {
      const shape = action.parameters.shape[name] as {
        safeParse(value: unknown): { success: boolean; data?: unknown };
      };
      for (let run = 0; run < RUNS; run++) {
        const parsed = shape.safeParse(nasty());
        if (!parsed.success || FREE.has(id)) continue;
        expect(textsIn(parsed.data).filter(isUnsafe)).toEqual([]);
      }
    },
  );

  it('are refused whole when one of them is not known', () => {
    for (const action of actions) {
      for (const key of NASTY_TEXTS) {
        if (Object.hasOwn(action.parameters.shape, key)) continue;
        expect(action.parameters.safeParse(JSON.parse(`{${JSON.stringify(key)}:1}`)).success).toBe(
          false,
        );
      }
    }
  });
});
