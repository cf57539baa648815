import { describe, expect, it } from 'vitest';
import type { JournalLine } from '../../../proto/actions/service.ts';
import { parseJournal, readFailureJournal, reasonOf } from './unit-journal.ts';

const entry = (changes: Record<string, unknown>) =>
  JSON.stringify({
    __REALTIME_TIMESTAMP: '1795423806464049',
    PRIORITY: '6',
    SYSLOG_IDENTIFIER: 'systemd',
    MESSAGE: 'Starting nginx.service...',
    ...changes,
  });

describe('lines of the journal', () => {
  it('are read with their time, level and origin', () => {
    expect(parseJournal(`${entry({})}\n${entry({ PRIORITY: '3', MESSAGE: 'no' })}\n`)).toEqual([
      {
        at: '2026-11-23T08:50:06.464Z',
        level: 6,
        from: 'systemd',
        text: 'Starting nginx.service...',
      },
      { at: '2026-11-23T08:50:06.464Z', level: 3, from: 'systemd', text: 'no' },
    ]);
  });

  it('may be bytes, and are cut', () => {
    const [bytes, long] = parseJournal(
      [entry({ MESSAGE: [104, 105, 255] }), entry({ MESSAGE: 'x'.repeat(9000) })].join('\n'),
    );
    expect(bytes?.text).toBe('hi\uFFFD');
    expect(long?.text).toHaveLength(500);
  });

  it.each([
    ['no JSON', 'not json'],
    ['no message', entry({ MESSAGE: null })],
    ['no time', entry({ __REALTIME_TIMESTAMP: 'soon' })],
    ['a time that no calendar has', entry({ __REALTIME_TIMESTAMP: '9'.repeat(30) })],
  ])('are left out when they are %s', (_, line) => {
    expect(parseJournal(line)).toEqual([]);
  });

  it('of an odd level are information', () => {
    expect(parseJournal(entry({ PRIORITY: '99', SYSLOG_IDENTIFIER: 5 }))[0]).toMatchObject({
      level: 6,
      from: '',
    });
  });
});

describe('the journal of a unit that failed', () => {
  /** Answers each reading in turn, the last for good. */
  const journals = (...texts: string[]) => {
    let readings = 0;
    const run = async (argv: readonly string[]) => {
      const out = argv.includes('--sync') ? '' : texts[Math.min(readings++, texts.length - 1)]!;
      return { exitStatus: 0, signal: null, timedOut: false, out, err: '', truncated: false };
    };
    return { run: run as never, readings: () => readings };
  };
  const end = entry({ MESSAGE: 'bad.service: Main process exited, code=exited' });
  const word = entry({ SYSLOG_IDENTIFIER: 'sh', MESSAGE: 'no database' });

  it('is read again until it has words of the service', async () => {
    const journal = journals(end, end, `${word}\n${end}`);
    const lines = await readFailureJournal(journal, 'bad.service', 20, null);
    expect(reasonOf(lines)).toBe('no database');
    expect(journal.readings()).toBe(3);
  });

  it('is taken as it is where a service says nothing', async () => {
    const lines = await readFailureJournal(journals(end), 'bad.service', 20, null);
    expect(lines.map(({ text }) => text)).toEqual([
      'bad.service: Main process exited, code=exited',
    ]);
  });
});

describe('why a unit failed', () => {
  const line = (from: string, text: string, level = 6): JournalLine => ({
    at: '',
    level,
    from,
    text,
  });
  const systemd = [
    line('systemd', 'Starting nginx.service...'),
    line('systemd', 'nginx.service: Main process exited, code=exited, status=1/FAILURE', 5),
    line('systemd', "nginx.service: Failed with result 'exit-code'.", 4),
    line('systemd', 'Failed to start nginx.service.', 3),
  ];

  it('is what the service itself called an error first', () => {
    const own = [line('nginx', 'hello'), line('nginx', 'bind() to 0.0.0.0:80 failed')];
    expect(reasonOf([...own, line('nginx', 'still could not bind()', 3), ...systemd])).toBe(
      'bind() to 0.0.0.0:80 failed',
    );
  });

  it('is its last words where it complained of nothing', () => {
    expect(reasonOf([line('app', 'one'), line('app', 'bye'), ...systemd])).toBe('bye');
  });

  it('is what systemd says in particular where the service is silent', () => {
    expect(reasonOf(systemd)).toContain('Main process exited, code=exited, status=1');
    expect(reasonOf(systemd.slice(-1))).toBe('Failed to start nginx.service.');
    expect(reasonOf([])).toBeNull();
  });
});
