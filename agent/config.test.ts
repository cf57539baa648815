import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConfigError, formatConfig, loadConfig, locate } from './config.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'iv-cf-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(text: string): string {
  const file = path.join(folder, 'agent.toml');
  writeFileSync(file, text);
  return file;
}

describe('loadConfig', () => {
  it('fills in what the file leaves out', () => {
    const config = write('control-plane = ["cp.example.net:7401", "[2001:db8::1]:7401"]\n');
    expect(loadConfig({ config })).toEqual({
      addresses: ['cp.example.net:7401', '[2001:db8::1]:7401'],
      stateDirectory: '/var/lib/intervene',
      configFile: config,
      policyFile: '/etc/intervene/policy.toml',
      spoolCapBytes: 256 * 1024 * 1024,
      imageBuiltMs: null,
      logLevel: 'info',
    });
  });

  it('takes all from the file that can stand there, and flags before it', () => {
    const config = write(
      [
        'control-plane = ["127.0.0.1:7401"]',
        'state-directory = "/srv/state"',
        'spool-cap-bytes = 1048576',
        'image-built = 2026-11-01T00:00:00Z',
        'log-level = "debug"',
      ].join('\n'),
    );
    expect(loadConfig({ config, policy: '/p.toml' })).toMatchObject({
      stateDirectory: '/srv/state',
      policyFile: '/p.toml',
      spoolCapBytes: 1_048_576,
      imageBuiltMs: Date.UTC(2026, 10, 1),
      logLevel: 'debug',
    });
    expect(loadConfig({ config, state: '/elsewhere' }).stateDirectory).toBe('/elsewhere');
  });

  it.each([
    ['control-plane = []', /control-plane/],
    ['control-plane = ["cp.example.net"]', /control-plane\.0: not host:port/],
    ['control-plane = ["cp.example.net:70000"]', /no such port/],
    ['control-plane = ["-x:1"]', /not host:port/],
    ['control-plane = ["a b:1"]', /not host:port/],
    ['control-plane = ["h:1"]\nspool-cap-bytes = 5', /spool-cap-bytes/],
    ['control-plane = ["h:1"]\nstate-directory = "relative"', /state-directory/],
    ['control-plane = ["h:1"]\ncontrol-plain = 1', /control-plain/],
    ['control-plane = ', /agent\.toml/],
    ['', /control-plane/],
  ])('says which field of %j is wrong', (text, message) => {
    const config = write(text);
    expect(() => loadConfig({ config })).toThrow(ConfigError);
    expect(() => loadConfig({ config })).toThrow(message);
  });

  it('says when there is no file', () => {
    expect(() => loadConfig({ config: path.join(folder, 'none.toml') })).toThrow(
      'there is no such file',
    );
  });

  it('reads what formatConfig writes', () => {
    const config = write(formatConfig(['h:1', 'i:2'], '/srv/"quoted"'));
    expect(loadConfig({ config })).toMatchObject({
      addresses: ['h:1', 'i:2'],
      stateDirectory: '/srv/"quoted"',
    });
  });
});

describe('locate', () => {
  it('finds the state without a usable configuration', () => {
    expect(locate({ config: path.join(folder, 'none.toml') }).stateDirectory).toBe(
      '/var/lib/intervene',
    );
    expect(locate({ config: write('broken ='), state: '/s' }).stateDirectory).toBe('/s');
  });

  it('uses what the configuration says', () => {
    const config = write('control-plane = ["h:1"]\nstate-directory = "/srv/state"\n');
    expect(locate({ config }).stateDirectory).toBe('/srv/state');
  });
});
