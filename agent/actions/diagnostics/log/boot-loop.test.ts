import { describe, expect, it } from 'vitest';
import { ProbeFixture } from '../testing/probe-fixture.ts';
import { bootLoop, judgeBoots } from './boot-loop.ts';

/** What journalctl of systemd 252 said on a Debian that was started over and over. */
const LOOP = `
-3 4817a7f00202416bad369a5a99d67851 Mon 2026-11-30 09:42:06 UTC Mon 2026-11-30 09:42:08 UTC
-2 e3bb0e69f6d7440f94a801ac5da154b7 Mon 2026-11-30 09:42:10 UTC Mon 2026-11-30 09:42:12 UTC
-1 b8af2825fe3f4d229474102474e63a8f Mon 2026-11-30 09:42:13 UTC Mon 2026-11-30 09:42:15 UTC
 0 9a7dfd63264f46a1bb8bef664d033416 Mon 2026-11-30 09:42:17 UTC Mon 2026-11-30 09:42:18 UTC
`;

const RULE = { rule: 'log.boot_loop', severity: 'warning', suggestion: null };

describe('a system that boots over and over', () => {
  it('is told of, with its last boots', () => {
    const [found] = judgeBoots(LOOP, false);
    expect(found).toMatchObject(RULE);
    expect(found!.title).toBe(
      'The system has started 4 times in a row and never ran for five minutes',
    );
    expect(found!.evidence[0]!.text.split('\n')).toHaveLength(4);
  });

  it('is known while it runs, too: its running boot has not ended', () => {
    const [found] = judgeBoots(LOOP, true);
    expect(found).toMatchObject({ ...RULE, title: expect.stringContaining('3 times') as string });
    const two = LOOP.trim().split('\n').slice(1).join('\n');
    expect(judgeBoots(two, true)).toEqual([]);
  });

  it('is known from a systemd before 250, which writes a dash', () => {
    expect(judgeBoots(LOOP.replaceAll('UTC Mon', 'UTC—Mon'), false)).toMatchObject([RULE]);
  });

  it('is not one that has run well since, or rests between its boots', () => {
    const wellSince = LOOP.replace('09:42:18 UTC\n', '19:42:18 UTC\n');
    expect(judgeBoots(wellSince, false)).toEqual([]);
    const withRests = LOOP.replace('09:42:06', '08:00:00').replace('09:42:08', '08:00:02');
    expect(judgeBoots(withRests, true)).toEqual([]);
  });

  it('is not looked for in anything else that a journal says', () => {
    expect(judgeBoots('Specifying boot ID has no effect\n-1 nonsense\n', false)).toEqual([]);
  });

  it('is not missed where no journal outlives a boot', async () => {
    const system = await ProbeFixture.create();
    await expect(system.look(bootLoop)).rejects.toThrow('outlives');
    await system.close();
  });
});
