import { describe, expect, it } from 'vitest';
import { names, ProbeFixture } from '../testing/probe-fixture.ts';
import type { Finding } from '../../../../proto/actions/diagnostics.ts';
import { bootErrors, judgeEntries } from './boot-errors.ts';

const entry = (fields: Record<string, unknown>) => JSON.stringify(fields);
const judge = (...lines: string[]) => judgeEntries(lines.join('\n')) as Finding[];

describe('errors since the boot', () => {
  it('are one finding per program, the loudest first', () => {
    const found = judge(
      entry({ SYSLOG_IDENTIFIER: 'nginx', MESSAGE: 'bind() failed' }),
      entry({ SYSLOG_IDENTIFIER: 'cron', MESSAGE: 'no such user' }),
      entry({ SYSLOG_IDENTIFIER: 'cron', MESSAGE: 'no such user' }),
      entry({ _COMM: 'x', _TRANSPORT: 'kernel', MESSAGE: 'I/O error' }),
      'half a li',
    );
    expect(names(found)).toEqual(['log.boot_errors cron', 'log.boot_errors nginx']);
    expect(found[0]!.title).toBe('cron has logged 2 errors since the boot');
  });

  it('may hold bytes that are no text', () => {
    const [found] = judge(
      entry({ SYSLOG_IDENTIFIER: 'x', MESSAGE: [255, 27, 91, 50, 74, 111, 107] }),
    );
    expect(JSON.stringify(found!.evidence)).toContain('[2Jok');
  });

  it('are not missed where there is no journal', async () => {
    const system = await ProbeFixture.create();
    await expect(system.look(bootErrors)).rejects.toThrow('no journal');
    await system.close();
  });
});
